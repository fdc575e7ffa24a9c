//! The table of routes and methods.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use axum::extract::MatchedPath;
use http::{HeaderMap, Method, Request, header};

use super::{Principal, Role};

/// The largest body of a REST request, in bytes, unless its row says otherwise.
const BODY_LIMIT: u64 = 8 * 1024 * 1024;

/// One row: a REST route or a gRPC method, and who may call it.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) target: Target,
    pub(crate) roles: Vec<Role>,
    /// Bytes a request body may have; gRPC messages have tonic's own limit.
    pub(crate) body_limit: Option<u64>,
    /// False for a route whose work may take longer than the edge's time limit.
    pub(crate) timed: bool,
    /// False for a route that OpenAPI does not describe.
    pub(crate) documented: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Rest {
        method: Method,
        path: Cow<'static, str>,
    },
    Rpc(Cow<'static, str>),
}

impl Access {
    /// A REST route: its method, its axum path with the service's prefix
    /// (`/api/catalog/v1/listings/{id}`), and the role it asks for.
    pub fn rest(method: Method, path: impl Into<Cow<'static, str>>, role: Role) -> Self {
        Self {
            target: Target::Rest {
                method,
                path: path.into(),
            },
            roles: vec![role],
            body_limit: Some(BODY_LIMIT),
            timed: true,
            documented: true,
        }
    }

    /// A gRPC method by its full path (`/oc.catalog.v1.CatalogService/Search`), and the role it asks for.
    pub fn rpc(path: impl Into<Cow<'static, str>>, role: Role) -> Self {
        Self {
            target: Target::Rpc(path.into()),
            roles: vec![role],
            body_limit: None,
            timed: false,
            documented: true,
        }
    }

    /// Open to this role as well.
    #[must_use]
    pub fn or(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Another limit for the body, in bytes; the default is 8 MiB.
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// For bulk: no limit for the body and none for the time until the answer begins. The handler keeps its own.
    #[must_use]
    pub fn bulk(mut self) -> Self {
        self.body_limit = None;
        self.timed = false;
        self
    }

    /// For a route that is no API, such as a page: OpenAPI need not describe it.
    #[must_use]
    pub fn undocumented(mut self) -> Self {
        self.documented = false;
        self
    }

    /// The route's template or the method's path.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Rest { path, .. } | Target::Rpc(path) => path,
        }
    }

    pub(crate) fn admits(&self, caller: &Principal) -> bool {
        self.roles.iter().any(|role| role.admits(caller))
    }

    /// The roles it is open to, as a sentence names them.
    pub(crate) fn roles_in_words(&self) -> String {
        let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
        roles.join(" or ")
    }

    /// True for a row that is open to anybody: no walk asks anything of it.
    pub fn is_public(&self) -> bool {
        self.roles.contains(&Role::Public)
    }
}

/// Which of the two faces a request is for: it decides how an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Rest,
    Rpc,
}

impl Face {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let rpc = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if rpc { Face::Rpc } else { Face::Rest }
    }
}

/// What the table says of a request.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// There is such a route.
    Row(&'a Row),
    /// The path exists, with these methods only.
    Methods(Vec<Method>),
    /// Nothing is there, or nothing that the table opens.
    Unknown,
}

/// A row of the merged table, with the service it belongs to.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) app: &'static str,
    pub(crate) access: Access,
}

/// The rows of every service behind one port.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rest: HashMap<Cow<'static, str>, Vec<(Method, Row)>>,
    rpc: HashMap<Cow<'static, str>, Row>,
}

impl Table {
    /// Adds a row.
    ///
    /// # Errors
    /// The row's name, when there is one like it.
    pub(crate) fn add(&mut self, app: &'static str, access: Access) -> Result<(), String> {
        let row = |access| Row { app, access };
        match access.target.clone() {
            Target::Rest { method, path } => {
                let name = format!("{method} {path}");
                let methods = self.rest.entry(path).or_default();
                if methods.iter().any(|(other, _)| *other == method) {
                    return Err(name);
                }
                methods.push((method, row(access)));
            }
            Target::Rpc(path) => {
                if self.rpc.contains_key(&path) {
                    return Err(path.into_owned());
                }
                self.rpc.insert(path, row(access));
            }
        }
        Ok(())
    }

    /// What a routed request asks for. A HEAD is answered by the GET of its path.
    pub(crate) fn look_up<B>(&self, request: &Request<B>) -> Verdict<'_> {
        if let Some(row) = self.rpc.get(request.uri().path()) {
            return Verdict::Row(row);
        }
        let matched = request.extensions().get::<MatchedPath>();
        let Some(methods) = matched.and_then(|path| self.rest.get(path.as_str())) else {
            return Verdict::Unknown;
        };
        let wanted = if request.method() == Method::HEAD {
            &Method::GET
        } else {
            request.method()
        };
        match methods.iter().find(|(method, _)| method == wanted) {
            Some((_, row)) => Verdict::Row(row),
            None => Verdict::Methods(methods.iter().map(|(method, _)| method.clone()).collect()),
        }
    }

    /// Every gRPC service that has a method in the table, without the leading slash.
    pub(crate) fn rpc_services(&self) -> BTreeSet<String> {
        let names = self
            .rpc
            .keys()
            .filter_map(|path| path.strip_prefix('/')?.split_once('/'));
        names.map(|(service, _)| service.to_owned()).collect()
    }

    /// Every gRPC path in the table.
    pub(crate) fn rpc_paths(&self) -> impl Iterator<Item = &str> {
        self.rpc.keys().map(AsRef::as_ref)
    }

    /// Every REST row as (method, path, row).
    pub(crate) fn rest_rows(&self) -> impl Iterator<Item = (&Method, &str, &Row)> {
        self.rest.iter().flat_map(|(path, methods)| {
            methods
                .iter()
                .map(move |(method, row)| (method, path.as_ref(), row))
        })
    }
}

//! Where documents come from. The loader asks a [`Resolver`] for every file it needs, so the caller
//! decides what a document may reach.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Characters that cannot stand in the path of a URI (RFC 3986, section 3.3), and `%` itself.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A file that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The caller's rules forbid it.
    #[error("`{reference}` is not allowed here: {reason}")]
    Forbidden {
        /// The reference as written.
        reference: String,
        /// The rule.
        reason: String,
    },
    /// It is larger than the limit.
    #[error("`{uri}` has more than {limit} bytes")]
    TooLarge {
        /// The file.
        uri: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not there or cannot be read.
    #[error("cannot read `{uri}`: {reason}")]
    Unreadable {
        /// The file.
        uri: String,
        /// What the system said.
        reason: String,
    },
}

/// Gives the loader the text of a document by its URI.
pub trait Resolver: Sync {
    /// The text behind an absolute URI without fragment; `limit` is the most bytes that are of use.
    ///
    /// # Errors
    /// When the caller's rules forbid it, or it is too large or unreadable.
    fn fetch(&self, uri: &str, limit: usize) -> Result<String, ResolveError>;
}

/// Fetches nothing: for documents from strangers, which must be packed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sealed;

impl Resolver for Sealed {
    fn fetch(&self, uri: &str, _limit: usize) -> Result<String, ResolveError> {
        Err(ResolveError::Forbidden {
            reference: uri.to_owned(),
            reason: "the document must be self-contained: `opencloud cwl pack` makes it name no other file"
                .to_owned(),
        })
    }
}

/// Reads local files, where `roots` are given only below these.
#[derive(Debug, Clone, Default)]
pub struct LocalFiles {
    roots: Option<Vec<PathBuf>>,
}

impl LocalFiles {
    /// Reads any file that the process may read.
    pub const fn anywhere() -> Self {
        Self { roots: None }
    }

    /// Reads files below these folders only. Links are followed first and judged by where they lead.
    ///
    /// # Errors
    /// When a folder does not exist.
    pub fn below(roots: impl IntoIterator<Item = impl AsRef<Path>>) -> std::io::Result<Self> {
        let roots = roots
            .into_iter()
            .map(|root| root.as_ref().canonicalize())
            .collect::<Result<_, _>>()?;
        Ok(Self { roots: Some(roots) })
    }
}

impl Resolver for LocalFiles {
    fn fetch(&self, uri: &str, limit: usize) -> Result<String, ResolveError> {
        let forbidden = |reason: &str| ResolveError::Forbidden {
            reference: display_uri(uri),
            reason: reason.to_owned(),
        };
        let unreadable = |reason: String| ResolveError::Unreadable {
            uri: display_uri(uri),
            reason,
        };
        let path = path_of_uri(uri).ok_or_else(|| forbidden("only local files can be read"))?;
        let real = path
            .canonicalize()
            .map_err(|error| unreadable(error.to_string()))?;
        if let Some(roots) = &self.roots
            && !roots.iter().any(|root| real.starts_with(root))
        {
            return Err(forbidden(
                "it lies outside the folder of the document: put it there or below",
            ));
        }
        // Opening a pipe or a device could block for ever.
        if !real.is_file() {
            return Err(unreadable("it is no file".to_owned()));
        }
        let file = File::open(&real).map_err(|error| unreadable(error.to_string()))?;
        text(file, uri, limit)
    }
}

/// The text of a source that is found at a URI, up to a limit of bytes.
pub(crate) fn text(source: impl Read, uri: &str, limit: usize) -> Result<String, ResolveError> {
    let unreadable = |reason: String| ResolveError::Unreadable {
        uri: display_uri(uri),
        reason,
    };
    let mut bytes = Vec::new();
    source
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() > limit {
        return Err(ResolveError::TooLarge {
            uri: display_uri(uri),
            limit,
        });
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))
}

/// The `file://` URI of an absolute path.
pub fn uri_of_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("file://{}", utf8_percent_encode(&text, NOT_IN_PATH))
}

/// The path of a `file://` URI; none for other schemes.
pub fn path_of_uri(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file:")?;
    let path = match rest.strip_prefix("//") {
        Some(with_host) => &with_host[with_host.find('/')?..],
        None => rest,
    };
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    Some(PathBuf::from(
        percent_decode_str(path).decode_utf8_lossy().as_ref(),
    ))
}

/// A URI as a person would write it: the path where it is local.
pub(crate) fn display_uri(uri: &str) -> String {
    path_of_uri(uri).map_or_else(|| uri.to_owned(), |path| path.display().to_string())
}

/// True for a reference that starts with a scheme; `colon:in.name` is a relative path.
pub(crate) fn has_scheme(reference: &str) -> bool {
    reference.starts_with("file:/")
        || reference.split_once("://").is_some_and(|(scheme, _)| {
            let mut bytes = scheme.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
                && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        })
}

/// The absolute URI (without fragment) of a reference written in the document `base`.
pub(crate) fn join(base: &str, reference: &str) -> String {
    let reference = reference
        .split_once('#')
        .map_or(reference, |(file, _)| file);
    if reference.is_empty() {
        return base.to_owned();
    }
    if has_scheme(reference) {
        return reference.to_owned();
    }
    let Some(base_path) = path_of_uri(base) else {
        return match url::Url::parse(base).and_then(|base| base.join(reference)) {
            Ok(url) => url.to_string(),
            Err(_) => reference.to_owned(),
        };
    };
    let decoded = percent_decode_str(reference).decode_utf8_lossy();
    let folder = base_path.parent().unwrap_or(Path::new("/"));
    uri_of_path(&normal(&folder.join(decoded.as_ref())))
}

/// The path without `.` and with `..` taken away together with the name before it.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_from_its_uri() {
        for path in ["/a/b c", "/a/item #1.txt", "/x/100%", "/ü/ö:1"] {
            let uri = uri_of_path(Path::new(path));
            assert_eq!(path_of_uri(&uri).unwrap(), Path::new(path), "{uri}");
        }
    }

    #[test]
    fn a_reference_is_joined_to_the_folder_of_its_document() {
        let base = "file:///docs/a/wf.cwl";
        assert_eq!(join(base, "tool.cwl#main"), "file:///docs/a/tool.cwl");
        assert_eq!(join(base, "../tool.cwl"), "file:///docs/tool.cwl");
        assert_eq!(join(base, "#main"), base);
        assert_eq!(
            join(base, "colon:name.cwl"),
            "file:///docs/a/colon:name.cwl"
        );
        assert_eq!(join(base, "https://x.org/t.cwl"), "https://x.org/t.cwl");
        assert_eq!(
            join("https://x.org/a/b.cwl", "c.cwl"),
            "https://x.org/a/c.cwl"
        );
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("link"))
            .unwrap();
        let files = LocalFiles::below([inside.path()]).unwrap();
        let error = files
            .fetch(&uri_of_path(&inside.path().join("link")), 10)
            .unwrap_err();
        assert!(matches!(error, ResolveError::Forbidden { .. }), "{error}");
    }

    #[test]
    fn a_large_file_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("big"), vec![b'x'; 100]).unwrap();
        let uri = uri_of_path(&folder.path().join("big"));
        let error = LocalFiles::anywhere().fetch(&uri, 99).unwrap_err();
        assert!(matches!(error, ResolveError::TooLarge { .. }), "{error}");
    }
}

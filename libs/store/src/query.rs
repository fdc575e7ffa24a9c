//! What to list: keys by prefix, or documents by a declared index.

use std::ops::Bound;

use oc_kernel::{PageRequest, PageToken};

use crate::{IndexValue, StoreError};

/// Selects documents of one collection, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub(crate) select: Select,
    pub(crate) descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Select {
    Prefix(String),
    Index {
        index: &'static str,
        from: Bound<IndexValue>,
        to: Bound<IndexValue>,
    },
}

impl Query {
    /// Every document, by key.
    pub fn all() -> Self {
        Self::prefix("")
    }

    /// Documents whose key begins with `prefix`, by key.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            select: Select::Prefix(prefix.into()),
            descending: false,
        }
    }

    /// Documents with `value` in the index, by key.
    pub fn equals(index: &'static str, value: impl Into<IndexValue>) -> Self {
        let value = value.into();
        Self::range(
            index,
            Bound::Included(value.clone()),
            Bound::Included(value),
        )
    }

    /// Documents with a value within the bounds, by value and then key. A document with several such
    /// values is listed once for each.
    pub fn range(index: &'static str, from: Bound<IndexValue>, to: Bound<IndexValue>) -> Self {
        Self {
            select: Select::Index { index, from, to },
            descending: false,
        }
    }

    /// Every document that has a value in the index, by value and then key.
    pub fn ordered_by(index: &'static str) -> Self {
        Self::range(index, Bound::Unbounded, Bound::Unbounded)
    }

    /// The same in reverse order.
    #[must_use]
    pub fn descending(self) -> Self {
        Self {
            descending: true,
            ..self
        }
    }
}

/// The place a page ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) value: Option<IndexValue>,
    pub(crate) key: String,
}

impl Cursor {
    /// The place the request goes on from, which must come from the same kind of query.
    pub(crate) fn of(page: &PageRequest, query: &Query) -> Result<Option<Self>, StoreError> {
        let Some(token) = &page.token else {
            return Ok(None);
        };
        let text = token.key().map_err(|_| StoreError::PageToken)?;
        let cursor = match query.select {
            Select::Prefix(_) => Self {
                value: None,
                key: text,
            },
            Select::Index { .. } => {
                let (value, key) =
                    serde_json::from_str(&text).map_err(|_| StoreError::PageToken)?;
                Self {
                    value: Some(value),
                    key,
                }
            }
        };
        Ok(Some(cursor))
    }

    pub(crate) fn token(&self) -> PageToken {
        match &self.value {
            None => PageToken::after(&self.key),
            Some(value) => {
                let text = serde_json::json!([value, self.key]).to_string();
                PageToken::after(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_from_its_token() {
        let query = Query::ordered_by("time");
        let cursor = Cursor {
            value: Some(IndexValue::Number(-7)),
            key: "a\"b".into(),
        };
        let page = PageRequest {
            size: 1,
            token: Some(cursor.token()),
        };
        assert_eq!(Cursor::of(&page, &query).unwrap(), Some(cursor));
    }

    #[test]
    fn a_token_of_another_kind_of_list_is_refused() {
        let page = PageRequest {
            size: 1,
            token: Some(PageToken::after("key")),
        };
        assert!(matches!(
            Cursor::of(&page, &Query::ordered_by("time")),
            Err(StoreError::PageToken)
        ));
    }
}

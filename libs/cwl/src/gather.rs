//! Joining the values of a link's sources (CWL v1.2, Workflow, sections 2.4 "Data links" and the
//! fields `linkMerge` and `pickValue`).

use serde_json::Value;

use crate::{LinkMerge, Links, PickValue, Process, Reference};

impl Links {
    /// The one value of these links, where `value_of` knows each source's. Null where there is no source.
    ///
    /// # Errors
    /// When `pickValue` finds too few or too many values.
    pub fn gather<'v>(
        &self,
        value_of: impl Fn(&Reference) -> Option<&'v Value>,
    ) -> Result<Value, String> {
        let values: Vec<Value> = self
            .references()
            .map(|reference| value_of(reference).cloned().unwrap_or(Value::Null))
            .collect();
        let merge = match self.merge {
            None if values.len() > 1 => Some(LinkMerge::Nested),
            merge => merge,
        };
        let joined = match merge {
            None => values.into_iter().next().unwrap_or(Value::Null),
            Some(LinkMerge::Nested) => Value::Array(values),
            Some(LinkMerge::Flattened) => Value::Array(flatten(values)),
        };
        match self.pick {
            None => Ok(joined),
            Some(pick) => self.pick(pick, joined),
        }
    }

    fn pick(&self, pick: PickValue, joined: Value) -> Result<Value, String> {
        let candidates = match joined {
            Value::Array(items) => items,
            one => vec![one],
        };
        let mut left: Vec<Value> = candidates
            .into_iter()
            .filter(|value| !value.is_null())
            .collect();
        let sources = || {
            let names: Vec<_> = self.references().map(ToString::to_string).collect();
            names.join(", ")
        };
        match (pick, left.len()) {
            (PickValue::All, _) => Ok(Value::Array(left)),
            (PickValue::First, 1..) | (PickValue::TheOnly, 1) => Ok(left.swap_remove(0)),
            (PickValue::First | PickValue::TheOnly, 0) => {
                Err(format!("every value of {} is null", sources()))
            }
            (PickValue::TheOnly, count) => Err(format!(
                "{count} values of {} are not null where only one may be",
                sources()
            )),
        }
    }
}

fn flatten(values: Vec<Value>) -> Vec<Value> {
    let mut flat = Vec::new();
    for value in values {
        match value {
            Value::Array(items) => flat.extend(items),
            one => flat.push(one),
        }
    }
    flat
}

impl Process {
    /// The outputs of a workflow from the values of its inputs and of its steps' outputs.
    ///
    /// # Errors
    /// When `pickValue` finds too few or too many values.
    pub fn gather_outputs<'v>(
        &self,
        value_of: impl Fn(&Reference) -> Option<&'v Value>,
    ) -> Result<serde_json::Map<String, Value>, String> {
        self.outputs
            .iter()
            .map(|output| {
                let value = output
                    .links
                    .gather(&value_of)
                    .map_err(|error| format!("output `{}`: {error}", output.id))?;
                Ok((output.id.clone(), value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;
    use crate::syntax::Mark;
    use serde_json::json;

    fn gather(
        values: &[Value],
        merge: Option<LinkMerge>,
        pick: Option<PickValue>,
    ) -> Result<Value, String> {
        let sources = (0..values.len())
            .map(|index| Source {
                reference: Reference::Input(index.to_string()),
                mark: Mark::default(),
            })
            .collect();
        let links = Links {
            sources,
            is_list: true,
            merge,
            pick,
        };
        links.gather(|reference| match reference {
            Reference::Input(index) => values.get(index.parse::<usize>().ok()?),
            Reference::Step { .. } => None,
        })
    }

    #[test]
    fn one_source_is_taken_as_it_is_and_several_make_a_list() {
        assert_eq!(gather(&[json!(1)], None, None), Ok(json!(1)));
        assert_eq!(
            gather(&[json!(1), json!([2])], None, None),
            Ok(json!([1, [2]]))
        );
        assert_eq!(
            gather(&[json!(1)], Some(LinkMerge::Nested), None),
            Ok(json!([1]))
        );
        assert_eq!(
            gather(&[json!([1]), json!(2)], Some(LinkMerge::Flattened), None),
            Ok(json!([1, 2]))
        );
    }

    #[test]
    fn nulls_are_left_out_as_asked() {
        let values = [Value::Null, json!(2), json!(3)];
        assert_eq!(gather(&values, None, Some(PickValue::First)), Ok(json!(2)));
        assert_eq!(
            gather(&values, None, Some(PickValue::All)),
            Ok(json!([2, 3]))
        );
        assert!(gather(&values, None, Some(PickValue::TheOnly)).is_err());
        let nothing = [Value::Null];
        assert!(gather(&nothing, None, Some(PickValue::First)).is_err());
        assert_eq!(gather(&nothing, None, Some(PickValue::All)), Ok(json!([])));
    }
}

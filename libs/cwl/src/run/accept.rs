//! Whether a value belongs to a type.

use serde_json::Value;

use super::files::{Class, class};
use crate::Type;

/// Accepts a value or says, with the way to the place, what is wanted instead.
pub(super) fn accept(type_: &Type, value: &Value) -> Result<(), String> {
    let wanted = || Err(format!("{type_} is wanted, not {}", describe(value)));
    match (type_, value) {
        (Type::Union(members), value) => {
            if members.iter().any(|member| accept(member, value).is_ok()) {
                return Ok(());
            }
            // With one member besides null its own reason is the better one.
            match members
                .iter()
                .filter(|member| **member != Type::Null)
                .collect::<Vec<_>>()
                .as_slice()
            {
                [only] if !value.is_null() => accept(only, value),
                _ => wanted(),
            }
        }
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Float | Type::Double, Value::Number(_))
        | (Type::String, Value::String(_)) => Ok(()),
        (Type::Any, value) if !value.is_null() => Ok(()),
        (Type::Int, Value::Number(number)) => match number.as_i64() {
            Some(value) if i32::try_from(value).is_ok() => Ok(()),
            _ => wanted(),
        },
        (Type::Long, Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
        (Type::File | Type::Stdin | Type::Stdout | Type::Stderr, value)
            if class(value) == Some(Class::File) =>
        {
            Ok(())
        }
        (Type::Directory, value) if class(value) == Some(Class::Directory) => Ok(()),
        (Type::Array(array), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                accept(&array.items, item)
                    .map_err(|reason| format!("element {index}: {reason}"))?;
            }
            Ok(())
        }
        (Type::Record(record), Value::Object(fields)) if class(value).is_none() => {
            for field in &record.fields {
                let value = fields.get(&field.name).unwrap_or(&Value::Null);
                accept(&field.type_, value)
                    .map_err(|reason| format!("field `{}`: {reason}", field.name))?;
            }
            Ok(())
        }
        (Type::Enum(values), Value::String(text)) if values.symbols.contains(text) => Ok(()),
        _ => wanted(),
    }
}

/// Accepts the value of an output. The standard says that `Any` is not null, but its suite wants null to
/// pass as an output.
pub(super) fn accept_output(type_: &Type, value: &Value) -> Result<(), String> {
    if *type_ == Type::Any && value.is_null() {
        return Ok(());
    }
    accept(type_, value)
}

/// The member of a union that a value belongs to; the type itself where it is none.
pub(super) fn member<'t>(type_: &'t Type, value: &Value) -> Option<&'t Type> {
    type_
        .members()
        .iter()
        .find(|member| accept(member, value).is_ok())
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => match class(value) {
            Some(Class::File) => "a File".to_owned(),
            Some(Class::Directory) => "a Directory".to_owned(),
            None => "a map".to_owned(),
        },
        scalar => {
            let text: String = scalar.to_string().chars().take(40).collect();
            format!("`{text}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_fit_by_their_width() {
        assert!(accept(&Type::Int, &json!(2_147_483_647)).is_ok());
        assert!(accept(&Type::Int, &json!(2_147_483_648_i64)).is_err());
        assert!(accept(&Type::Long, &json!(2_147_483_648_i64)).is_ok());
        assert!(accept(&Type::Int, &json!(1.5)).is_err());
        assert!(accept(&Type::Double, &json!(1)).is_ok());
    }

    #[test]
    fn any_is_anything_but_null() {
        assert!(accept(&Type::Any, &json!({"a": 1})).is_ok());
        assert!(accept(&Type::Any, &Value::Null).is_err());
    }

    #[test]
    fn a_fault_deep_inside_names_its_place() {
        let files = Type::array_of(Type::File);
        let error = accept(&files, &json!([{"class": "File"}, 5])).unwrap_err();
        assert_eq!(error, "element 1: File is wanted, not `5`");
    }
}

//! Whether a value of one type can go where another is wanted.

use crate::{ArrayType, LinkMerge, Links, PickValue, Type};

/// How well a source fits a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Never.
    No,
    /// For some values of the source.
    Maybe,
    /// Always.
    Yes,
}

/// How well values of `source` fit `sink`.
pub(super) fn fits(source: &Type, sink: &Type) -> Fit {
    match (source, sink) {
        (Type::Any, _) | (_, Type::Any) => Fit::Yes,
        (Type::Union(members), sink) => {
            let all: Vec<Fit> = members.iter().map(|member| fits(member, sink)).collect();
            let best = members
                .iter()
                .zip(&all)
                .filter(|(member, _)| **member != Type::Null)
                .map(|(_, fit)| *fit)
                .max()
                .unwrap_or(Fit::No);
            match (best, all.iter().all(|fit| *fit == Fit::Yes)) {
                (Fit::No, _) => Fit::No,
                (_, true) => Fit::Yes,
                (_, false) => Fit::Maybe,
            }
        }
        (source, Type::Union(members)) => members
            .iter()
            .map(|member| fits(source, member))
            .max()
            .unwrap_or(Fit::No),
        (Type::Array(source), Type::Array(sink)) => array_fits(source, sink),
        (Type::Record(source), Type::Record(sink)) => sink
            .fields
            .iter()
            .map(|field| {
                let same = source.fields.iter().find(|other| other.name == field.name);
                match same {
                    Some(other) => fits(&other.type_, &field.type_),
                    None if field.type_.allows_null() => Fit::Yes,
                    None => Fit::No,
                }
            })
            .min()
            .unwrap_or(Fit::Yes),
        (Type::Enum(source), Type::Enum(sink)) => {
            let known = |symbol: &String| sink.symbols.contains(symbol);
            match (
                source.symbols.iter().any(known),
                source.symbols.iter().all(known),
            ) {
                (_, true) => Fit::Yes,
                (true, false) => Fit::Maybe,
                (false, false) => Fit::No,
            }
        }
        (Type::Enum(_), Type::String) => Fit::Yes,
        (Type::String, Type::Enum(_)) => Fit::Maybe,
        (source, sink) if is_file(source) && is_file(sink) => Fit::Yes,
        (source, sink) => match (width(source), width(sink)) {
            (Some(from), Some(to)) if from <= to => Fit::Yes,
            (Some(_), Some(_)) => Fit::Maybe,
            _ if source == sink => Fit::Yes,
            _ => Fit::No,
        },
    }
}

fn array_fits(source: &ArrayType, sink: &ArrayType) -> Fit {
    // An empty list fits everywhere, but nobody means that.
    fits(&source.items, &sink.items)
}

fn is_file(type_: &Type) -> bool {
    matches!(
        type_,
        Type::File | Type::Stdin | Type::Stdout | Type::Stderr
    )
}

/// Numbers by how much they can hold: a narrower one goes where a wider is wanted.
fn width(type_: &Type) -> Option<u8> {
    match type_ {
        Type::Int => Some(0),
        Type::Long => Some(1),
        Type::Float => Some(2),
        Type::Double => Some(3),
        _ => None,
    }
}

/// The type of the value that joined links give; `types` are those of the sources.
pub(super) fn joined(links: &Links, types: Vec<Type>) -> Type {
    let merge = match links.merge {
        None if types.len() > 1 => Some(LinkMerge::Nested),
        merge => merge,
    };
    let whole = match merge {
        None => types.into_iter().next().unwrap_or(Type::Null),
        Some(LinkMerge::Nested) => Type::array_of(union(types)),
        Some(LinkMerge::Flattened) => {
            let flat = types.into_iter().flat_map(|type_| match type_ {
                Type::Array(array) => vec![array.items.clone()],
                Type::Union(members) => members
                    .into_iter()
                    .map(|member| match member {
                        Type::Array(array) => array.items.clone(),
                        other => other,
                    })
                    .collect(),
                other => vec![other],
            });
            Type::array_of(union(flat.collect()))
        }
    };
    let Some(pick) = links.pick else {
        return whole;
    };
    let candidates = match whole {
        Type::Array(array) => array.items.clone(),
        other => other,
    };
    let not_null = match candidates {
        Type::Union(members) => union(
            members
                .into_iter()
                .filter(|member| *member != Type::Null)
                .collect(),
        ),
        other => other,
    };
    match pick {
        PickValue::All => Type::array_of(not_null),
        PickValue::First | PickValue::TheOnly => not_null,
    }
}

fn union(types: Vec<Type>) -> Type {
    let mut members: Vec<Type> = Vec::new();
    for type_ in types {
        for member in type_.members() {
            if !members.contains(member) {
                members.push(member.clone());
            }
        }
    }
    if members.len() == 1 {
        return members.swap_remove(0);
    }
    Type::Union(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_widen_and_do_not_narrow() {
        assert_eq!(fits(&Type::Int, &Type::Double), Fit::Yes);
        assert_eq!(fits(&Type::Double, &Type::Int), Fit::Maybe);
        assert_eq!(fits(&Type::Int, &Type::String), Fit::No);
    }

    #[test]
    fn a_maybe_null_source_fits_only_sometimes() {
        let maybe = Type::File.optional();
        assert_eq!(fits(&maybe, &Type::File), Fit::Maybe);
        assert_eq!(fits(&Type::File, &maybe), Fit::Yes);
        assert_eq!(fits(&maybe, &maybe), Fit::Yes);
        assert_eq!(fits(&Type::Null, &Type::File), Fit::No);
    }

    #[test]
    fn lists_are_compared_by_their_elements() {
        let files = Type::array_of(Type::File);
        assert_eq!(fits(&files, &Type::File), Fit::No);
        assert_eq!(fits(&files, &Type::array_of(Type::String)), Fit::No);
        assert_eq!(
            fits(&files, &Type::array_of(Type::File.optional())),
            Fit::Yes
        );
    }
}

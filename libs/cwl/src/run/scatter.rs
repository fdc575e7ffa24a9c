//! Scatter: which combinations of elements a step runs with, and the shape of its results
//! (CWL v1.2, Workflow, section 4.2.2 "WorkflowStep", Scatter/gather).

use serde_json::Value;

use super::files::Object;
use crate::{RunError, ScatterMethod, Step};

/// The combinations of one scattering step.
#[derive(Debug, Clone)]
pub(super) struct Scatter {
    names: Vec<String>,
    /// How many elements each scattered input has.
    lengths: Vec<usize>,
    method: ScatterMethod,
    jobs: usize,
}

impl Scatter {
    /// The combinations for a step; `inputs` holds its gathered inputs. They are counted before one is made.
    pub(super) fn new(step: &Step, inputs: &Object) -> Result<Self, RunError> {
        let mut lengths = Vec::with_capacity(step.scatter.len());
        for name in &step.scatter {
            match inputs.get(&name.text) {
                Some(Value::Array(items)) => lengths.push(items.len()),
                _ => {
                    return Err(RunError::Input(format!(
                        "`{}` is scattered over and must be a list",
                        name.text
                    )));
                }
            }
        }
        let method = step.scatter_method.unwrap_or(ScatterMethod::Dotproduct);
        if method == ScatterMethod::Dotproduct && lengths.windows(2).any(|two| two[0] != two[1]) {
            return Err(RunError::Input(format!(
                "scattering element by element needs lists of one length, not {lengths:?}"
            )));
        }
        let Some(jobs) = method.jobs(&lengths) else {
            return Err(RunError::Input(too_wide(&lengths)));
        };
        Ok(Self {
            names: step.scatter.iter().map(|name| name.text.clone()).collect(),
            lengths,
            method,
            jobs,
        })
    }

    /// How many times the step runs.
    pub(super) fn count(&self) -> usize {
        self.jobs
    }

    /// The inputs of one repetition; the last list varies fastest.
    pub(super) fn inputs(&self, index: usize, inputs: &Object) -> Object {
        // The lists stay where they are: a copy for each job would take the square of their length.
        let plain = inputs.iter().filter(|(name, _)| !self.names.contains(name));
        let mut picked: Object = plain
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut rest = index;
        for (name, length) in self.names.iter().zip(&self.lengths).rev() {
            let position = match self.method {
                ScatterMethod::Dotproduct => index,
                ScatterMethod::NestedCrossproduct | ScatterMethod::FlatCrossproduct => {
                    let position = rest % length;
                    rest /= length;
                    position
                }
            };
            let element = inputs.get(name).and_then(|list| list.get(position));
            picked.insert(name.clone(), element.cloned().unwrap_or(Value::Null));
        }
        picked
    }

    /// The value of one output from those of all repetitions, in their order.
    pub(super) fn shape(&self, values: Vec<Value>) -> Value {
        match self.method {
            ScatterMethod::Dotproduct | ScatterMethod::FlatCrossproduct => Value::Array(values),
            ScatterMethod::NestedCrossproduct => nest(&self.lengths, &mut values.into_iter()),
        }
    }
}

fn too_wide(lengths: &[usize]) -> String {
    let lengths: Vec<String> = lengths.iter().map(usize::to_string).collect();
    format!(
        "scattering over {} elements makes more than {} jobs, the most that one step may have: scatter over fewer at \
         once, or hand several to each job",
        lengths.join(" x "),
        ScatterMethod::MOST_JOBS
    )
}

fn nest(lengths: &[usize], values: &mut impl Iterator<Item = Value>) -> Value {
    match lengths {
        [] => values.next().unwrap_or(Value::Null),
        [length, inner @ ..] => Value::Array((0..*length).map(|_| nest(inner, values)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scatter(lengths: &[usize], method: ScatterMethod) -> Scatter {
        Scatter {
            names: (0..lengths.len()).map(|name| name.to_string()).collect(),
            lengths: lengths.to_vec(),
            method,
            jobs: method.jobs(lengths).unwrap(),
        }
    }

    #[test]
    fn a_crossproduct_lets_the_last_list_vary_fastest() {
        let both = scatter(&[2, 3], ScatterMethod::FlatCrossproduct);
        let lists = json!({"0": ["a", "b"], "1": [1, 2, 3]});
        let picked: Vec<String> = (0..both.count())
            .map(|index| {
                let one = both.inputs(index, lists.as_object().unwrap());
                format!("{}{}", one["0"].as_str().unwrap(), one["1"])
            })
            .collect();
        assert_eq!(picked, ["a1", "a2", "a3", "b1", "b2", "b3"]);
    }

    #[test]
    fn jobs_are_counted_before_they_are_made() {
        use ScatterMethod::{Dotproduct, FlatCrossproduct, NestedCrossproduct};
        let most = ScatterMethod::MOST_JOBS;
        assert_eq!(Dotproduct.jobs(&[most, most]), Some(most));
        assert_eq!(Dotproduct.jobs(&[most + 1]), None);
        assert_eq!(FlatCrossproduct.jobs(&[100, 200]), Some(most));
        assert_eq!(FlatCrossproduct.jobs(&[100, 201]), None);
        assert_eq!(FlatCrossproduct.jobs(&[6000, 6000, 0]), Some(0));
        for method in [NestedCrossproduct, FlatCrossproduct] {
            assert_eq!(method.jobs(&[1 << 33, 1 << 33]), None, "{method:?}");
        }
        assert_eq!(
            NestedCrossproduct.jobs(&[6000, 6000, 0]),
            None,
            "36,000,000 empty lists"
        );
    }

    #[test]
    fn a_job_has_the_other_inputs_and_its_element_alone() {
        let one = scatter(&[2], ScatterMethod::Dotproduct);
        let inputs = json!({"other": [1, 2], "0": ["a", "b"]});
        let picked = one.inputs(1, inputs.as_object().unwrap());
        assert_eq!(Value::Object(picked), json!({"other": [1, 2], "0": "b"}));
    }

    #[test]
    fn results_are_nested_as_the_lists_are() {
        let values = |count: usize| (0..count).map(Value::from).collect();
        let nested = scatter(&[2, 2], ScatterMethod::NestedCrossproduct);
        assert_eq!(nested.shape(values(4)), json!([[0, 1], [2, 3]]));
        let empty = scatter(&[2, 0], ScatterMethod::NestedCrossproduct);
        assert_eq!(
            (empty.count(), empty.shape(values(0))),
            (0, json!([[], []]))
        );
        let first_empty = scatter(&[0, 2], ScatterMethod::NestedCrossproduct);
        assert_eq!(first_empty.shape(values(0)), json!([]));
        let flat = scatter(&[2, 0], ScatterMethod::FlatCrossproduct);
        assert_eq!(flat.shape(values(0)), json!([]));
    }
}

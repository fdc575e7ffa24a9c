//! However a workflow is cut, its fragments give together what it gives as a whole.

use std::collections::HashMap;

use oc_cwl::{Document, Engine, Limits, Reference};
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::{Bench, document};

/// A chain of additions in which each step reads any two values before it. Value 0 is the input.
fn workflow(steps: &[(usize, usize)]) -> String {
    let name = |value: usize| match value {
        0 => "x".to_owned(),
        step => format!("s{step}/sum"),
    };
    let mut text = String::from(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {x: int}\n\
         requirements: {InlineJavascriptRequirement: {}}\nsteps:\n",
    );
    for (index, (a, b)) in steps.iter().enumerate() {
        text.push_str(&format!(
            "  s{}:\n    in: {{a: {}, b: {}}}\n    out: [sum]\n    run: {{class: ExpressionTool, \
             inputs: {{a: int, b: int}}, outputs: {{sum: int}}, \
             expression: '${{ return {{sum: inputs.a + inputs.b + {index}}}; }}'}}\n",
            index + 1,
            name(*a),
            name(*b),
        ));
    }
    text.push_str("outputs:\n");
    for step in 1..=steps.len() {
        text.push_str(&format!(
            "  y{step}: {{type: int, outputSource: s{step}/sum}}\n"
        ));
    }
    text
}

fn run(
    engine: &Engine,
    bench: &Bench,
    text: &str,
    inputs: Map<String, Value>,
) -> Map<String, Value> {
    let document = Document::parse(text, "fragment", &Limits::default()).unwrap();
    engine
        .run(&document, inputs, &bench.path("out"), &Default::default())
        .unwrap()
}

/// Steps that read values before them, and where the chain is cut.
fn plans() -> impl Strategy<Value = (Vec<(usize, usize)>, Vec<bool>)> {
    let steps = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        1..8,
    );
    (steps, prop::collection::vec(any::<bool>(), 8)).prop_map(|(steps, cuts)| {
        let steps = steps
            .iter()
            .enumerate()
            .map(|(index, (a, b))| (a.index(index + 1), b.index(index + 1)))
            .collect();
        (steps, cuts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fragments_give_together_what_the_whole_gives((steps, cuts) in plans()) {
        let bench = Bench::new();
        let engine = Engine::new(bench.settings());
        let text = workflow(&steps);
        let whole = document(&text);
        let expected = run(&engine, &bench, &text, bench.inputs("{x: 3}"));

        let mut groups: Vec<Vec<String>> = vec![Vec::new()];
        for step in 1..=steps.len() {
            if cuts[step - 1] && groups.last().is_some_and(|group| !group.is_empty()) {
                groups.push(Vec::new());
            }
            groups.last_mut().unwrap().push(format!("s{step}"));
        }
        let mut values = HashMap::from([(Reference::Input("x".to_owned()), Value::from(3))]);
        for group in groups {
            let fragment = whole.fragment(&group).unwrap();
            let inputs = fragment
                .inputs
                .iter()
                .map(|crossing| (crossing.id.clone(), values[&crossing.reference].clone()))
                .collect();
            let mut outputs = run(&engine, &bench, &fragment.document.to_json(), inputs);
            for crossing in fragment.outputs {
                values.insert(crossing.reference, outputs.remove(&crossing.id).unwrap());
            }
        }
        let together = whole.process().gather_outputs(|reference| values.get(reference)).unwrap();
        prop_assert_eq!(together, expected);
    }
}

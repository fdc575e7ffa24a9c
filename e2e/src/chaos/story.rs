//! What North's scientist starts, as CWL with shell tools, and how she insists on it while her node is down.

use std::time::Duration;

use oc_client::ClientError;
use oc_kernel::{Classify as _, Kind};
use oc_proto::pipeline::v1::{
    DatasetInput, InputValue, ListingRef, RunRequest, StartRunRequest, input_value,
};
use oc_proto::types::v1::DatasetQuery;
use oc_testkit::within;

use super::plan::{At, Side, Work};
use super::stage::{IMAGES, Stage};

/// How long somebody goes on trying while no node answers.
const INSISTS: Duration = Duration::from_secs(30);

/// What is told apart in the list of this machine's processes: a time to sleep that nothing else has.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// Of the tools that run at North, and at South.
    pub(super) sides: [String; 2],
}

impl Marks {
    /// Those of one play: no other on this machine has the same number.
    pub(super) fn of(play: u64) -> Self {
        let mark = |side: u8| format!("{:07}{play:05}{side}", std::process::id());
        Self {
            sides: [mark(1), mark(2)],
        }
    }

    fn of_side(&self, side: Side) -> &str {
        let [north, south] = &self.sides;
        match side {
            Side::North => north,
            Side::South => south,
        }
    }

    /// So many milliseconds and next to nothing, in seconds.
    fn seconds(&self, side: Side, ms: u64) -> String {
        format!("{}.{:03}{}", ms / 1000, ms % 1000, self.of_side(side))
    }
}

/// What became of the wish to start something.
#[derive(Debug, Clone)]
pub(super) struct Started {
    /// Place in the plan.
    pub(super) work: usize,
    /// The run; or why there is none.
    pub(super) run: Result<String, String>,
}

/// Starts one work. The same operation is asked for again until there is an answer.
pub(super) async fn start(stage: &Stage, marks: &Marks, number: usize, work: &At<Work>) -> Started {
    let request = StartRunRequest {
        run: Some(request(stage, marks, number, work.what)),
        operation_id: format!("work-{number}"),
    };
    let mut last = String::new();
    let answer = within(INSISTS, async || {
        match stage.north.client().pipeline().start(&request).await {
            Ok(run) => Some(Ok(run.run_id)),
            Err(error) if passes(&error) => {
                last = error.to_string();
                None
            }
            Err(error) => Some(Err(error.to_string())),
        }
    })
    .await;
    Started {
        work: number,
        run: answer.unwrap_or_else(|| Err(format!("in vain until now: {last}"))),
    }
}

/// True for what may be over when one tries again.
pub(super) fn passes(error: &ClientError) -> bool {
    matches!(
        error.kind(),
        Kind::Unavailable | Kind::Timeout | Kind::Internal
    )
}

fn request(stage: &Stage, marks: &Marks, number: usize, work: Work) -> RunRequest {
    let place = |step: &str, side: Side| (step.to_owned(), stage.side(side).id.clone());
    let (cwl, inputs, placement) = match work {
        Work::Story { south, north } => {
            let image = DatasetInput {
                dataset: Some(ListingRef {
                    owner: stage.south.id.clone(),
                    listing_id: IMAGES.to_owned(),
                }),
                query: Some(DatasetQuery {
                    assets: vec!["B04".to_owned()],
                    limit: 1,
                    ..DatasetQuery::default()
                }),
            };
            let image = InputValue {
                value: Some(input_value::Value::Dataset(image)),
            };
            let (first, second) = (
                marks.seconds(Side::South, south),
                marks.seconds(Side::North, north),
            );
            let sites = [place("first", Side::South), place("second", Side::North)];
            (two_steps(&first, &second), vec![image], sites.to_vec())
        }
        Work::AtSouth { takes } => {
            let cwl = one_step(&marks.seconds(Side::South, takes));
            (cwl, Vec::new(), vec![place("only", Side::South)])
        }
        Work::AtNorth { takes } => {
            let cwl = one_step(&marks.seconds(Side::North, takes));
            (cwl, Vec::new(), vec![place("only", Side::North)])
        }
    };
    let inputs = inputs.into_iter().map(|input| ("read".to_owned(), input));
    RunRequest {
        cwl,
        inputs: inputs.collect(),
        placement: placement.into_iter().collect(),
        name: format!("work-{number}"),
        ..RunRequest::default()
    }
}

/// Bounds what a step holds of its grant.
const BOUND: &str = "requirements: {ToolTimeLimit: {timelimit: 20}}";

fn filter(seconds: &str, command: &str) -> String {
    format!(
        "{{class: CommandLineTool, {BOUND}, baseCommand: [sh, -c, \"sleep {seconds}; {command}\"], \
         stdin: $(inputs.read.path), inputs: {{read: File}}, outputs: {{made: stdout}}, stdout: made.txt}}"
    )
}

fn two_steps(first: &str, second: &str) -> String {
    let (first, second) = (filter(first, "sha256sum"), filter(second, "tr a-f A-F"));
    format!(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {{read: File}}\nsteps:\n  \
         first: {{in: {{read: read}}, out: [made], run: {first}}}\n  \
         second: {{in: {{read: first/made}}, out: [made], run: {second}}}\n\
         outputs:\n  made: {{type: File, outputSource: second/made}}\n"
    )
}

fn one_step(seconds: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {{}}\nsteps:\n  only:\n    in: {{}}\n    out: [made]\n    \
         run: {{class: CommandLineTool, {BOUND}, baseCommand: [sh, -c, \"sleep {seconds}; echo done\"], \
         inputs: {{}}, outputs: {{made: stdout}}, stdout: made.txt}}\n\
         outputs:\n  made: {{type: File, outputSource: only/made}}\n"
    )
}

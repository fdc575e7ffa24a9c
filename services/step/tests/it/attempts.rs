//! Whole attempts: the real program, real tools in real sandboxes, a node over sockets.

use oc_runner::{Event, Phase};
use serde_json::{Value, json};

use crate::bench::{MIB, bench, shell};

fn two_steps() -> Value {
    json!({
        "cwlVersion": "v1.2", "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"texts": "File[]", "suffix": "string"},
        "outputs": {"count": {"type": "int", "outputSource": "count/n"},
                    "all": {"type": "File", "outputSource": "join/out"}},
        "steps": {
            "join": {
                "run": {"class": "CommandLineTool", "baseCommand": "cat",
                        "inputs": {"texts": {"type": "File[]", "inputBinding": {}}, "suffix": "string"},
                        "outputs": {"out": "stdout"},
                        "stdout": "$(inputs.texts[0].nameroot + inputs.suffix)"},
                "in": {"texts": "texts", "suffix": "suffix"}, "out": ["out"],
            },
            "count": {
                "run": {"class": "CommandLineTool", "baseCommand": ["wc", "-l"],
                        "inputs": {"text": "File"}, "stdin": "$(inputs.text.path)", "stdout": "n",
                        "outputs": {"n": {"type": "int", "outputBinding": {
                            "glob": "n", "loadContents": true,
                            "outputEval": "$(parseInt(self[0].contents))"}}}},
                "in": {"text": "join/out"}, "out": ["n"],
            },
        },
    })
}

#[test]
fn a_fragment_is_staged_run_stored_and_metered() {
    let mut bench = bench();
    bench.input("in-1", "first.txt", "one\ntwo\n");
    bench.input("in-2", "second.txt", "three\n");
    let file = |name: &str| json!({"class": "File", "location": format!("input:{name}")});
    let order = json!({"texts": [file("in-1"), file("in-2")], "suffix": ".joined"});
    let told = bench.run(&two_steps(), order);
    let outputs = told.outputs();
    assert_eq!(outputs["count"], 3);
    assert_eq!(outputs["all"]["location"], "output:all/first.joined");
    assert_eq!(bench.stored("all/first.joined"), "one\ntwo\nthree\n");

    let phases: Vec<Phase> = told
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Phase { phase } => Some(*phase),
            _ => None,
        })
        .collect();
    assert_eq!(phases, [Phase::Staging, Phase::Running, Phase::Storing]);
    let ended: Vec<(&str, Option<i32>)> = told
        .events
        .iter()
        .filter_map(|event| match event {
            Event::StepEnded {
                step, exit_code, ..
            } => Some((step.as_str(), *exit_code)),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [("join", Some(0)), ("count", Some(0))]);
    let used = told.report.used;
    assert_eq!((used.bytes_in, used.bytes_out), (14, 14));
    assert!(used.wall_ms > 0 && used.peak_memory_bytes > 0, "{used:?}");
}

#[test]
fn what_a_tool_prints_reaches_the_node_line_by_line() {
    let told = bench().run(
        &shell("echo out; echo err >&2; printf unfinished"),
        json!({}),
    );
    told.outputs();
    let mut log = told.log();
    log.sort_unstable();
    assert_eq!(log, ["err", "out", "unfinished"]);
}

#[test]
fn a_program_that_is_missing_is_named() {
    let tool = json!({"cwlVersion": "v1.2", "class": "CommandLineTool",
                      "baseCommand": "gdal_nonsense", "inputs": [], "outputs": []});
    let workflow = json!({"cwlVersion": "v1.2", "class": "Workflow", "inputs": [], "outputs": [],
                          "steps": {"picture": {"run": tool, "in": [], "out": []}}});
    let told = bench().run(&workflow, json!({}));
    let (step, message, exit_code) = told.failure();
    assert_eq!((step, exit_code), ("picture", None));
    assert!(
        message.contains("`gdal_nonsense` is not installed on this node"),
        "{message}"
    );
}

#[test]
fn a_tool_that_fails_shows_its_step_and_code_and_its_last_lines_are_in_the_log() {
    let told = bench().run(&shell("echo cannot open x.tif >&2; exit 7"), json!({}));
    let (_, message, exit_code) = told.failure();
    assert_eq!(exit_code, Some(7));
    assert!(message.starts_with("`sh` failed"), "{message}");
    assert_eq!(told.log(), ["cannot open x.tif"]);
}

#[test]
fn files_of_the_node_cannot_be_named_by_a_document() {
    let load = |location: &str| {
        json!({
            "cwlVersion": "v1.2", "class": "ExpressionTool",
            "requirements": {"InlineJavascriptRequirement": {}},
            "inputs": {"f": {"type": "File", "loadContents": true,
                             "default": {"class": "File", "location": location}}},
            "outputs": {"text": "string"},
            "expression": "${ return {text: inputs.f.contents}; }",
        })
    };
    let computed = json!({
        "cwlVersion": "v1.2", "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": [], "outputs": {"f": {"type": "File", "outputSource": "make/f"}},
        "steps": {"make": {"in": [], "out": ["f"], "run": {
            "class": "ExpressionTool", "inputs": [], "outputs": {"f": "File"},
            "expression": "${ return {f: {class: 'File', location: 'file:///etc/passwd'}}; }"}}},
    });
    let listed = json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": "true", "inputs": [],
        "requirements": {"InitialWorkDirRequirement": {"listing": [
            {"class": "File", "location": "file:///etc/passwd"}]}},
        "outputs": {"f": {"type": "File", "outputBinding": {"glob": "passwd"}}},
    });
    for document in [
        load("file:///etc/passwd"),
        load("file:///etc/hostname"),
        computed,
        listed,
    ] {
        let bench = bench();
        let told = bench.run(&document, json!({}));
        let (_, message, _) = told.failure();
        assert!(message.contains("/etc/"), "{message}");
        assert!(bench.fake.shelf().stored.is_empty());
    }
}

#[test]
fn a_link_that_a_tool_plants_is_taken_away_and_reported() {
    let bench = bench();
    let told = bench.run(
        &shell("echo fine > good; ln -s /etc/passwd bad; ln -s /proc/self/mem worse"),
        json!({}),
    );
    assert_eq!(told.outputs()["files"].as_array().unwrap().len(), 1);
    assert_eq!(bench.stored("files/good"), "fine\n");
    let log = told.log();
    assert!(
        log.contains(&"took away `bad`: it is a link to `/etc/passwd`"),
        "{log:?}"
    );
    assert_eq!(log.len(), 2);
}

#[test]
fn two_names_of_one_file_are_two_outputs_and_a_folder_within_itself_is_refused() {
    let bench = bench();
    let told = bench.run(
        &shell("echo hi > o.txt; ln -s o.txt l; ln o.txt h"),
        json!({}),
    );
    assert_eq!(told.outputs()["files"].as_array().unwrap().len(), 3);
    for name in ["files/o.txt", "files/l", "files/h"] {
        assert_eq!(bench.stored(name), "hi\n");
    }

    let mut folder = shell("mkdir d; echo hi > d/f; ln -s ../d d/again");
    folder["outputs"] = json!({"d": {"type": "Directory", "outputBinding": {"glob": "d"}}});
    let told = crate::bench::bench().run(&folder, json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("`d/again` is a link to `d`"), "{message}");
}

#[test]
fn an_input_that_is_copied_again_and_again_ends_at_the_limit_of_the_disk() {
    let mut bench = bench();
    bench.limits.disk_bytes = MIB;
    bench.input("in-1", "large.bin", &"x".repeat(300_000));
    let order = || json!({"large": {"class": "File", "location": "input:in-1"}});
    let mut linked = shell("for i in 1 2 3 4 5; do ln -s $0 l$i; done");
    linked["inputs"] = json!({"large": {"type": "File", "inputBinding": {}}});
    let told = bench.run(&linked, order());
    let (_, message, _) = told.failure();
    assert!(message.contains("more than 1048576 bytes"), "{message}");

    let mut bench = crate::bench::bench();
    bench.limits.disk_bytes = MIB;
    bench.input("in-1", "large.bin", &"x".repeat(300_000));
    let entry = |at: usize| json!({"entry": "$(inputs.large)", "entryname": format!("c{at}"), "writable": true});
    let mut staged = shell("true");
    staged["inputs"] = json!({"large": "File"});
    let listing: Vec<_> = (0..5).map(entry).collect();
    staged["requirements"] = json!({"InitialWorkDirRequirement": {"listing": listing}});
    let told = bench.run(&staged, order());
    let (_, message, _) = told.failure();
    assert!(message.contains("more than 1048576 bytes"), "{message}");
}

#[test]
fn an_output_that_is_stored_under_another_name_is_told() {
    let bench = bench();
    let told = bench.run(&shell("echo hi > 'a b.txt'; echo hi > fine.txt"), json!({}));
    told.outputs();
    assert_eq!(bench.stored("files/a_b.txt"), "hi\n");
    let log = told.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].starts_with("output `a b.txt` is stored as `a_b.txt`"),
        "{log:?}"
    );
}

#[test]
fn a_limit_that_a_tool_hits_is_named_with_its_number() {
    let mut bench = bench();
    bench.limits.memory_bytes = 300 * MIB;
    let told = bench.run(
        &shell("perl -e 'my @a; push @a, \"x\" x 1000000 while 1'"),
        json!({}),
    );
    let (_, message, _) = told.failure();
    assert!(
        message.contains("the memory limit of 314572800 bytes"),
        "{message}"
    );
    assert_eq!(told.code(), "over-memory");
}

#[test]
fn a_tool_that_asks_for_more_than_there_is_is_refused_with_both_numbers() {
    let mut tool = shell("true");
    tool["requirements"] = json!({"ResourceRequirement": {"coresMin": 8}});
    let told = bench().run(&tool, json!({}));
    let (_, message, _) = told.failure();
    assert!(
        message.contains("it asks for 8 cores and the attempt has 2"),
        "{message}"
    );
}

#[test]
fn an_attempt_ends_when_its_time_does() {
    let mut bench = bench();
    bench.limits.wall_ms = 1500;
    let told = bench.run(&shell("sleep 1000"), json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("time"), "{message}");
    assert_eq!(told.code(), "timed-out");
    assert!(
        (1400..10_000).contains(&told.report.used.wall_ms),
        "{:?}",
        told.report.used
    );
}

#[test]
fn outputs_over_the_limit_are_refused_with_both_numbers() {
    let mut bench = bench();
    bench.limits.output_bytes = 5;
    let told = bench.run(&shell("echo larger > f"), json!({}));
    let (_, message, _) = told.failure();
    assert_eq!(
        message,
        "the outputs have 7 bytes and 5 may leave this node for the attempt (egress): ask for a larger grant, with at \
         least 7, or have the workflow make less"
    );
}

#[test]
fn a_container_that_is_required_is_refused() {
    let mut tool = shell("true");
    tool["requirements"] = json!({"DockerRequirement": {"dockerPull": "debian:12"}});
    let told = bench().run(&tool, json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("container"), "{message}");
}

#[test]
fn scripts_run_in_a_sandbox_that_goes_with_the_attempt() {
    let document = json!({
        "cwlVersion": "v1.2", "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": [], "outputs": {"n": "int"},
        "expression": "${ var a = []; while (true) { a.push(new Array(100000).join('x')); } }",
    });
    let told = bench().run(&document, json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("memory"), "{message}");
}

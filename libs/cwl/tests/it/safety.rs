//! Documents of strangers read and write nothing outside their job.

use oc_cwl::{Engine, RunError, Settings};

use crate::{Bench, faults};

fn shell(script: &str, outputs: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nrequirements: {{ShellCommandRequirement: {{}}}}\n\
         arguments: [{{shellQuote: false, valueFrom: \"{script}\"}}]\ninputs: []\noutputs: {outputs}\n"
    )
}

#[track_caller]
fn refused(tool: &str, reason: &str) {
    let error = Bench::new().run(tool, "{}").unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_link_out_of_the_work_folder_is_no_output() {
    let file = "{f: {type: File, outputBinding: {glob: f}}}";
    refused(
        &shell("ln -s /etc/passwd f", file),
        "outside the work folder",
    );
    let folder = "{f: {type: Directory, outputBinding: {glob: f}}}";
    refused(&shell("ln -s /etc f", folder), "outside the work folder");
    refused(
        &shell("mkdir f && ln -s /etc/passwd f/x", folder),
        "outside the work folder",
    );
}

#[test]
fn whether_a_file_is_there_outside_is_not_told() {
    for place in [
        "/etc/passwd",
        "/etc/no-such-file",
        "/no-such-folder/x",
        "../../../../../../etc/nothing",
    ] {
        let says = format!(
            "echo '{{\\\"f\\\": {{\\\"class\\\": \\\"File\\\", \\\"path\\\": \\\"{place}\\\"}}}}' > cwl.output.json"
        );
        refused(&shell(&says, "{f: File}"), "outside the work folder");
        let link = shell(
            &format!("ln -s {place} f"),
            "{f: {type: File, outputBinding: {glob: f}}}",
        );
        refused(&link, "outside the work folder");
    }
}

#[test]
fn a_link_inside_the_work_folder_is_followed() {
    let bench = Bench::new();
    let tool = shell(
        "echo x > a && ln -s a f",
        "{f: {type: File, outputBinding: {glob: f}}}",
    );
    let outputs = bench.outputs(&tool, "{}");
    assert_eq!(outputs["f"]["basename"], "f");
    assert_eq!(crate::text_of(&outputs["f"]), "x\n");
    assert!(!bench.path("out/f").is_symlink());
}

#[test]
fn each_name_of_a_file_is_an_output_of_its_own() {
    let bench = Bench::new();
    let tool = shell(
        "echo x > a && ln -s a f && mkdir d && ln -s ../a d/g",
        "{all: {type: 'File[]', outputBinding: {glob: [a, f]}}, d: {type: Directory, outputBinding: {glob: d}}}",
    );
    let outputs = bench.outputs(&tool, "{}");
    for (at, name) in ["a", "f"].into_iter().enumerate() {
        assert_eq!(outputs["all"][at]["basename"], name);
        assert_eq!(crate::text_of(&outputs["all"][at]), "x\n");
        assert!(!bench.path(&format!("out/{name}")).is_symlink());
    }
    assert!(!bench.path("out/d/g").is_symlink());
    assert_eq!(crate::text_of(&outputs["d"]["listing"][0]), "x\n");
}

#[test]
fn a_folder_that_a_link_puts_into_itself_is_refused_by_name() {
    let folder = "{d: {type: Directory, outputBinding: {glob: d}}}";
    refused(
        &shell("mkdir d && ln -s ../d d/again", folder),
        "`d/again` is a link to `d`",
    );
    refused(
        &shell("mkdir d e && ln -s ../e d/e && ln -s ../d e/d", folder),
        "`d/e/d` is a link to `d`",
    );
}

#[test]
fn an_output_that_is_an_input_is_a_copy() {
    let bench = Bench::new();
    std::fs::write(bench.path("in.txt"), "x\n").unwrap();
    let tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [ln, -s]\n\
         inputs: {i: {type: File, inputBinding: {position: 1}}, n: {type: string, inputBinding: {position: 2}}}\n\
         outputs: {f: {type: File, outputBinding: {glob: f}}}\n";
    let order = format!(
        "{{i: {{class: File, path: {}}}, n: f}}",
        bench.path("in.txt").display()
    );
    bench.outputs(tool, &order);
    std::fs::write(bench.path("out/f"), "changed").unwrap();
    assert_eq!(
        std::fs::read_to_string(bench.path("in.txt")).unwrap(),
        "x\n"
    );
}

#[test]
fn a_glob_does_not_leave_the_work_folder() {
    for glob in ["/etc/passwd", "../../*", "a/../../../x"] {
        let outputs = format!("{{f: {{type: 'File[]', outputBinding: {{glob: {glob}}}}}}}");
        refused(&shell("true", &outputs), "leaves the work folder");
    }
}

#[test]
fn what_the_tool_says_about_its_outputs_is_not_believed() {
    for path in ["/etc/passwd", "../../../../etc/passwd"] {
        let script = format!(
            "echo '{{\\\"f\\\": {{\\\"class\\\": \\\"File\\\", \\\"path\\\": \\\"{path}\\\"}}}}' > cwl.output.json"
        );
        let error = Bench::new()
            .run(&shell(&script, "{f: File}"), "{}")
            .unwrap_err();
        assert!(matches!(error, RunError::Output(_)), "{error}");
    }
}

#[test]
fn a_device_or_a_pipe_is_no_output() {
    let outputs = "{f: {type: Any, outputBinding: {glob: f}}}";
    refused(&shell("mkfifo f", outputs), "neither a file nor a folder");
}

#[test]
fn streams_and_entries_stay_in_the_work_folder() {
    let tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\nstdout: NAME\ninputs: []\noutputs: []\n";
    for name in ["../x", "/tmp/x", "a/../../x"] {
        refused(&tool.replace("NAME", name), "leaves the work folder");
    }
    let entry = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {InitialWorkDirRequirement: {listing: [{entryname: $(inputs.name), entry: text}]}}
baseCommand: 'true'
inputs: {name: {type: string, default: NAME}}
outputs: []
";
    refused(&entry.replace("NAME", "../x"), "leaves the work folder");
    refused(&entry.replace("NAME", "/etc/x"), "is absolute");
    assert!(!faults(&entry.replace("$(inputs.name)", "../x")).is_empty());
}

#[test]
fn nothing_is_written_through_a_staged_folder() {
    let bench = Bench::new();
    bench.data("folder/keep", "x");
    let job = "{d: {class: Directory, location: folder}}";
    let entry = "\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  InitialWorkDirRequirement:
    listing: [$(inputs.d), {entryname: folder/new, entry: text}]
baseCommand: 'true'
inputs: {d: Directory}
outputs: []
";
    let error = bench.run(entry, job).unwrap_err();
    assert!(error.to_string().contains("is a link"), "{error}");
    let stream = entry
        .replace(", {entryname: folder/new, entry: text}", "")
        .replace("baseCommand", "stdout: folder/new\nbaseCommand");
    let error = bench.run(&stream, job).unwrap_err();
    assert!(error.to_string().contains("is a link"), "{error}");
    assert!(!bench.path("data/folder/new").exists());
}

#[test]
fn a_strangers_document_reads_only_what_it_was_given() {
    let bench = Bench::new();
    bench.data("in.txt", "x");
    let settings = Settings {
        readable: Some(vec![bench.path("data")]),
        ..bench.settings()
    };
    let engine = Engine::new(settings);
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {f: {type: File, inputBinding: {}, default: {class: File, location: 'file:///etc/passwd'}}}
outputs: {out: stdout}
";
    let given = bench.run_with(&engine, tool, "{f: {class: File, location: in.txt}}");
    assert!(given.is_ok(), "{given:?}");
    let by_default = bench.run_with(&engine, tool, "{}").unwrap_err();
    assert!(
        by_default
            .to_string()
            .contains("outside the folders of this job"),
        "{by_default}"
    );
    std::os::unix::fs::symlink("/etc/passwd", bench.path("data/link")).unwrap();
    let linked = bench
        .run_with(&engine, tool, "{f: {class: File, location: link}}")
        .unwrap_err();
    assert!(
        linked
            .to_string()
            .contains("outside the folders of this job"),
        "{linked}"
    );
    let stdin = tool.replace("baseCommand: cat", "baseCommand: cat\nstdin: /etc/passwd");
    let piped = bench
        .run_with(&engine, &stdin, "{f: {class: File, location: in.txt}}")
        .unwrap_err();
    assert!(
        piped.to_string().contains("is no input of this tool"),
        "{piped}"
    );
}

#[test]
fn a_remote_file_is_unsupported() {
    let tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: cat\ninputs: {f: File}\noutputs: []\n";
    let job = "{f: {class: File, location: 'https://example.org/a.tif'}}";
    let error = Bench::new().run(tool, job).unwrap_err();
    assert_eq!(error.exit_code(), 33);
    assert!(error.to_string().contains("fetch it first"), "{error}");
}

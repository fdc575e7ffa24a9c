//! Release builds measured against their bars, beside the incumbents that can run here.

use std::process::ExitCode;

use crate::process::check;
use crate::setup;

/// Builds what is measured, and measures; the options go to the benchmarks.
pub(crate) fn run(options: &[String]) -> anyhow::Result<ExitCode> {
    setup::for_running()?;
    let cwltool = setup::for_comparing()?.path("cwltool");
    let cwltool = cwltool.to_string_lossy();
    let build = "build --release --locked --workspace --bin opencloud --bin oc-step";
    check("cargo", &build.split(' ').collect::<Vec<_>>())?;
    let bench = "bench --locked --workspace --bench oc-bench -- --cwltool";
    let options = options.iter().map(String::as_str);
    let arguments = bench.split(' ').chain([&*cwltool]).chain(options);
    check("cargo", &arguments.collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

//! Author's mistakes that a component reports with a traceback. Native tests always show one, so
//! this module does not test them.

use std::fs;

use anyhow::ensure;

use super::place::{Place, output};

const PLUGIN: &str = r#"
import pointsman


class Broken:
    def route(self, request: pointsman.Request) -> pointsman.Decision:
        return self.tenant(request.header("host"))

    def tenant(self, host):
        raise ValueError("no such tenant")


Plugin = pointsman.plugin(Broken)
"#;

#[test]
fn an_exception_in_python_is_logged_with_its_traceback_and_is_no_trap() -> anyhow::Result<()> {
    let place = Place::new()?;
    let pointsman = |arguments: &[&str]| {
        let mut command = place.command("pointsman");
        command.arg("plugin").args(arguments);
        command
    };
    output(&mut pointsman(&["new", "--lang", "python", "broken"]))?;
    let project = place.work().join("broken");
    fs::write(project.join("plugin.py"), PLUGIN)?;
    fs::write(
        project.join("cases.toml"),
        "backends = []\n[[case]]\nname = \"error\"\nexpect.error = \"ValueError: no such tenant\"\n\
         [[case]]\nname = \"shown\"\nexpect.default = true\n",
    )?;
    output(&mut pointsman(&["build", "broken"]))?;
    let component = "broken/broken.wasm";
    let played = pointsman(&["test", component, "--cases", "broken/cases.toml"]).output()?;
    let text = String::from_utf8(played.stdout)?;
    ensure!(text.contains("1 of 2 cases failed"), "{text}");
    for part in [
        "FAILED  shown",
        "Traceback",
        "in route",
        "in tenant",
        "ValueError: no such tenant",
    ] {
        ensure!(text.contains(part), "{part:?} is not in\n{text}");
    }
    Ok(())
}

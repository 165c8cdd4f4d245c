//! On a terminal there are bars while it copies, and none of them is left at the end.

use std::process::Stdio;

use tokio::process::Command;

use super::yard::{Home, Kind, Registry, text};

/// Runs it on a terminal of its own, and answers what the terminal was sent.
async fn on_a_terminal(home: &Home, args: &[&str]) -> String {
    let plain = home.mirror(args);
    let plain = plain.as_std();
    let program = plain.get_program().to_str().unwrap().to_owned();
    let words = plain.get_args().map(|word| word.to_str().unwrap());
    let line = [&*program].into_iter().chain(words).collect::<Vec<_>>();
    let mut command = Command::new("script");
    command.args(["-qec", &line.join(" "), "/dev/null"]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("script, of util-linux, which every Linux has");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[tokio::test]
async fn bars_are_drawn_while_it_copies_and_gone_at_the_end() {
    let source = Registry::start(Kind::Peer).await.unwrap();
    let destination = Registry::start(Kind::Peer).await.unwrap();
    source.kit("layer", &["big/one", "4"]).await.unwrap();
    let (from, to) = (
        source.image("big/one:big"),
        destination.image("big/one:big"),
    );
    let home = Home::new();
    let said = on_a_terminal(&home, &[&from, &to, "--bandwidth", "2MiB"]).await;
    // A bar of the layer, drawn more than once, and one of all of it.
    assert!(said.matches(" of 4.0 MiB  sha256:").count() > 2, "{said:?}");
    assert!(said.contains("=>"), "{said:?}");
    // What is left on the screen is the report alone.
    let (_, report) = said.rsplit_once("\u{1b}[2K").expect("bars are wiped away");
    let (_, report) = report.split_once("copied ").expect("a report");
    assert!(report.contains("\r\n1 copied\r\n"), "{report:?}");
    assert!(
        !report.contains('\u{1b}') && !report.contains("=>"),
        "{report:?}"
    );
    // Whoever asks for quiet gets no bars on a terminal either.
    let said = on_a_terminal(&home, &[&from, &to, "--quiet", "--overwrite", "always"]).await;
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

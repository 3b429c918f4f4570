//! Tests of tables with files: loading, rejecting, changing and saving them, and activating another
//! configuration.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use tempfile::TempDir;

use super::load::IsBackend;
use super::save::Draft;
use super::{
    Change, CommitCheck, Installed, PreparedTables, Refreshed, SaveError, TableState, Tables,
};
use crate::config::{self, TableFormat, TableValues};

/// A temporary directory for the files of tables.
struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file by renaming a new one, as other programs should.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Returns the names of all files in the directory.
    fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// Returns the configuration `[table.t]` with this file.
    fn config(&self, file: &str, values: TableValues) -> config::Table {
        config::Table {
            name: "t".to_owned(),
            file: self.path(file),
            format: if file.ends_with("csv") {
                TableFormat::Csv
            } else {
                TableFormat::Json
            },
            values,
            file_size: 1 << 20,
        }
    }

    fn tables(&self, file: &str, values: TableValues) -> Arc<Tables> {
        start(&[self.config(file, values)]).unwrap()
    }

    fn refresh(&self, tables: &Tables, file: &str) -> Refreshed {
        tables.refresh("t", &self.path(file), &is_backend)
    }

    fn changed(&self, table: &str, file: &str, entries: Option<usize>, dropped: u64) -> Change {
        Change {
            table: table.to_owned(),
            file: self.path(file),
            entries,
            dropped,
        }
    }

    /// Reloads the file, as the watcher does.
    fn take_up(&self, tables: &Tables, file: &str) -> Installed {
        match self.refresh(tables, file) {
            Refreshed::Loaded(loaded) => tables.install("t", &self.path(file), loaded),
            other => panic!("{other:?}"),
        }
    }
}

fn is_backend(name: &str) -> bool {
    ["www", "node"].contains(&name)
}

fn prepare(
    configs: &[config::Table],
    active: Option<&Arc<Tables>>,
    is_backend: IsBackend<'_>,
) -> Result<PreparedTables, String> {
    PreparedTables::new(configs, active, is_backend).map_err(|mistakes| {
        let texts = mistakes
            .iter()
            .map(|(name, error)| format!("{name}: {error}"));
        texts.collect::<Vec<_>>().join("; ")
    })
}

fn start(configs: &[config::Table]) -> Result<Arc<Tables>, String> {
    Ok(prepare(configs, None, &is_backend)?.commit(None).tables)
}

fn find(tables: &Tables, key: &str) -> Option<String> {
    let set = tables.current();
    let value = set.find("t", key.as_bytes())?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

fn change(tables: &Tables, key: &str, value: Option<&str>) -> Result<(), String> {
    let changed = tables.change("t", key, value, &is_backend);
    changed.map_err(|error| error.to_string())
}

fn save(tables: &Tables) -> Result<PathBuf, SaveError> {
    tables.save("t", |saved| tables.record(saved))
}

fn state(tables: &Tables) -> TableState {
    tables.states().remove(0)
}

#[test]
fn files_that_are_refused() {
    let check = |file: &str, text: &[u8], expected: &str| {
        let place = Place::new(&[]);
        fs::write(place.path(file), text).unwrap();
        let refused = start(&[place.config(file, TableValues::Backends)]).unwrap_err();
        assert_eq!(refused, format!("t: {expected}"));
    };
    check(
        "t.csv",
        b"a,www\nb\xff,www\n",
        "line 2: the text is not UTF-8",
    );
    check(
        "t.csv",
        b"a,www\n\nb,w3\n",
        "line 3: the value `w3` of the key `b` is not a backend",
    );
    check(
        "t.json",
        b"{\"a\": \"www\",\n\"b\": \"\\u0007\"}",
        "line 2: column 14: the value `\\u{7}` of the key `b` is not a backend",
    );
    check(
        "t.csv",
        b"a,www\nb,www\na,node\n",
        "line 3: the key `a` is already on line 1",
    );
    check("t.csv", b",www\n", "line 1: the key is empty");
    let long = format!("a,www\n{},www\n", "k".repeat(1025));
    check(
        "t.csv",
        long.as_bytes(),
        "line 2: the key has 1025 bytes, more than 1024",
    );
    let large = vec![b'\n'; (1 << 20) + 1];
    check(
        "t.csv",
        &large,
        "is longer than 1048576 bytes, which `file_size` allows",
    );
    let place = Place::new(&[]);
    let absent = start(&[place.config("absent.csv", TableValues::Any)]).unwrap_err();
    assert!(
        absent.starts_with("t: cannot be read: No such file"),
        "{absent}"
    );
    let folder = place.config("", TableValues::Any);
    let folder = start(&[folder]).unwrap_err();
    assert_eq!(folder, "t: cannot be read: is a directory");
}

#[test]
fn a_file_that_changes() {
    let place = Place::new(&[("t.csv", "a,1\nb,2\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    let before = tables.current();
    assert_eq!(find(&tables, "a").as_deref(), Some("1"));
    place.write("t.csv", "a,3\n");
    assert_eq!(find(&tables, "a").as_deref(), Some("1"));
    let change = place.changed("t", "t.csv", Some(1), 0);
    assert_eq!(place.take_up(&tables, "t.csv"), Installed::InForce(change));
    assert_eq!(find(&tables, "a").as_deref(), Some("3"));
    assert_eq!(find(&tables, "b"), None);
    // A request that started with the previous table continues to use it.
    assert_eq!(before.find("t", b"b"), Some(&b"2"[..]));
    assert!(tables.has_replaced());
    tables.sweep();
    assert!(tables.has_replaced());
    drop(before);
    tables.sweep();
    assert!(!tables.has_replaced());
}

/// However often a table is replaced or changed, the memory of its predecessors is freed: the sweep
/// does so once the last request that reads them has ended.
#[test]
fn replaced_tables_are_freed_with_their_changes() {
    let place = Place::new(&[("t.csv", "a,0\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    let mut replaced = Vec::new();
    for round in 0..100 {
        // Requests of this round read the table as loaded from the file and after each of two
        // changes.
        let mut requests = vec![tables.current()];
        for key in ["b", "c"] {
            replaced.push(Arc::downgrade(&tables.slot("t").unwrap().table));
            change(&tables, key, Some(&round.to_string())).unwrap();
            requests.push(tables.current());
        }
        replaced.push(Arc::downgrade(&tables.slot("t").unwrap().table));
        place.write("t.csv", &format!("a,{}\n", round + 1));
        place.take_up(&tables, "t.csv");
        tables.sweep();
        let alive = |replaced: &[Weak<_>]| {
            let counts = replaced.iter().map(Weak::strong_count);
            counts.filter(|count| *count > 0).count()
        };
        // A request keeps the table that it reads. A worker that ends the request frees no table,
        // since that can take long.
        assert_eq!(requests[0].find("t", b"b"), None);
        assert_eq!(alive(&replaced), 3, "{round}");
        drop(requests);
        assert_eq!(alive(&replaced), 3, "{round}");
        tables.sweep();
        assert_eq!(alive(&replaced), 0, "{round}");
        assert!(!tables.has_replaced());
    }
}

#[test]
fn a_file_that_breaks_is_refused_once() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    let refused = |reason: &str, transient: bool| {
        for news in [true, false, false] {
            let Refreshed::Refused {
                is_news,
                is_transient,
                ..
            } = place.refresh(&tables, "t.csv")
            else {
                panic!("{reason}");
            };
            assert_eq!((is_news, is_transient), (news, transient), "{reason}");
        }
        let failure = state(&tables).failure.unwrap();
        assert!(failure.reason.contains(reason), "{failure:?}");
        assert_eq!(find(&tables, "a").as_deref(), Some("1"));
    };
    place.write("t.csv", "a,1\nb\n");
    refused("line 2", false);
    place.write("t.csv", "a\n");
    refused("line 1", false);
    fs::remove_file(place.path("t.csv")).unwrap();
    refused("cannot be read", true);
    // The original file is back: there is nothing to load, and the error is cleared.
    place.write("t.csv", "a,1\n");
    assert!(matches!(place.refresh(&tables, "t.csv"), Refreshed::Known));
    assert_eq!(state(&tables).failure, None);
}

#[test]
fn changes_last_until_the_file_does() {
    let place = Place::new(&[("t.csv", "a,1\nb,2\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "a", Some("3")).unwrap();
    change(&tables, "b", None).unwrap();
    change(&tables, "c", Some("")).unwrap();
    let found = ["a", "b", "c"].map(|key| find(&tables, key));
    assert_eq!(found, [Some("3".to_owned()), None, Some(String::new())]);
    assert_eq!((state(&tables).entries, state(&tables).unsaved), (2, 3));
    assert_eq!(tables.get("t", "a").unwrap(), "3");
    // Another file with the same text does not count as a change.
    place.write("t.csv", "a,1\nb,2\n");
    assert!(matches!(place.refresh(&tables, "t.csv"), Refreshed::Known));
    assert_eq!(find(&tables, "a").as_deref(), Some("3"));
    place.write("t.csv", "a,4\n");
    let change = place.changed("t", "t.csv", Some(1), 3);
    assert_eq!(place.take_up(&tables, "t.csv"), Installed::InForce(change));
    assert_eq!(find(&tables, "a").as_deref(), Some("4"));
    assert_eq!(state(&tables).unsaved, 0);
}

#[test]
fn changes_that_are_refused() {
    let place = Place::new(&[("t.csv", "a,www\n")]);
    let tables = place.tables("t.csv", TableValues::Backends);
    let check = |key: &str, value: Option<&str>, expected: &str| {
        assert_eq!(change(&tables, key, value), Err(expected.to_owned()));
        assert_eq!(tables.current().find("t", b"a"), Some(&b"www"[..]));
        assert_eq!(state(&tables).unsaved, 0);
    };
    check(
        "a",
        Some("w3"),
        "table `t` refuses the entry: the value `w3` of the key `a` is not a backend",
    );
    check("b", None, "table `t` has no key `b`");
    check(
        "",
        Some("www"),
        "table `t` refuses the entry: the key is empty",
    );
    let none = tables.change("u", "a", Some("www"), &is_backend);
    assert_eq!(none.unwrap_err().to_string(), "there is no table `u`");
    let none = tables.get("t", "b").unwrap_err();
    assert_eq!(none.to_string(), "table `t` has no key `b`");
}

#[test]
fn a_table_cannot_be_filled_without_end() {
    let place = Place::new(&[("t.json", "{}")]);
    let tables = place.tables("t.json", TableValues::Any);
    let value = "v".repeat(8000);
    let full =
        (0..1000).find_map(|number| change(&tables, &number.to_string(), Some(&value)).err());
    assert_eq!(
        full.unwrap(),
        "table `t` refuses the entry: the table is full: its keys and values would have more than \
         1048576 bytes, which `file_size` allows"
    );
    // This change is allowed, since the table keeps its size.
    change(&tables, "0", Some(&value)).unwrap();
    let bytes = state(&tables).bytes;
    assert!(bytes < 2 << 20, "{bytes}");
}

#[test]
fn many_changes_are_folded() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    for number in 0..2_500 {
        tables.fold("t").unwrap();
        change(&tables, &number.to_string(), Some("2")).unwrap();
    }
    assert_eq!(state(&tables).entries, 2_501);
    assert_eq!(state(&tables).unsaved, 2_500);
    for key in ["a", "0", "2499"] {
        assert!(find(&tables, key).is_some(), "{key}");
    }
}

#[test]
fn saving() {
    let check = |file: &str, before: &str, after: &str| {
        let place = Place::new(&[(file, before)]);
        let tables = place.tables(file, TableValues::Any);
        let mode = Permissions::from_mode(0o640);
        fs::set_permissions(place.path(file), mode.clone()).unwrap();
        change(&tables, "a", Some("x,\"y\"\nz")).unwrap();
        change(&tables, "b", None).unwrap();
        change(&tables, "d", Some("4")).unwrap();
        assert_eq!(save(&tables).unwrap(), place.path(file));
        assert_eq!(place.read(file), after);
        let now = fs::metadata(place.path(file)).unwrap();
        assert_eq!(now.permissions().mode() & 0o7777, mode.mode());
        assert_eq!(state(&tables).unsaved, 0);
        // The watcher does not reload the saved file, and later changes are kept.
        change(&tables, "e", Some("5")).unwrap();
        assert!(matches!(place.refresh(&tables, file), Refreshed::Known));
        assert_eq!(find(&tables, "e").as_deref(), Some("5"));
        assert_eq!(state(&tables).unsaved, 1);
        // Another process reads the same entries from the file.
        let other = place.tables(file, TableValues::Any);
        assert_eq!(find(&other, "a").as_deref(), Some("x,\"y\"\nz"));
        assert_eq!(find(&other, "e"), None);
        assert_eq!(place.names(), [file]);
    };
    check(
        "t.csv",
        "c,3\r\nb,2\r\na,1\r\n",
        "c,3\na,\"x,\"\"y\"\"\nz\"\nd,4\n",
    );
    check(
        "t.json",
        r#"{"c": "3", "b": "2", "a": "1"}"#,
        "{\n  \"c\": \"3\",\n  \"a\": \"x,\\\"y\\\"\\nz\",\n  \"d\": \"4\"\n}\n",
    );
}

#[test]
fn saving_through_a_link() {
    let place = Place::new(&[("real.csv", "a,1\n")]);
    symlink("real.csv", place.path("t.csv")).unwrap();
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "a", Some("2")).unwrap();
    save(&tables).unwrap();
    assert!(place.path("t.csv").is_symlink());
    assert_eq!(place.read("real.csv"), "a,2\n");
}

#[test]
fn saving_refuses_to_overwrite_a_changed_file() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "a", Some("2")).unwrap();
    // The first text is one byte longer than the original, the second has the same length.
    for text in ["a,33\n", "a,3\n"] {
        place.write("t.csv", text);
        let refused = save(&tables).unwrap_err().to_string();
        assert!(
            refused.contains("has changed since it was loaded"),
            "{refused}"
        );
        assert_eq!(place.read("t.csv"), text);
    }
    assert_eq!(state(&tables).unsaved, 1);
    fs::remove_file(place.path("t.csv")).unwrap();
    assert!(matches!(save(&tables), Err(SaveError::Write { .. })));
    assert!(matches!(
        tables.save("u", |_| ()),
        Err(SaveError::NoTable(_))
    ));
}

#[test]
fn saving_refuses_to_overwrite_a_file_that_changes_meanwhile() {
    for text in ["a,3\n", "a,33\n"] {
        let place = Place::new(&[("t.csv", "a,1\n")]);
        let tables = place.tables("t.csv", TableValues::Any);
        change(&tables, "a", Some("2")).unwrap();
        let slot = tables.slot("t").unwrap();
        let draft = Draft::write(&slot.table, &slot.config, &slot.origin).unwrap();
        place.write("t.csv", text);
        let refused = draft.persist().unwrap_err();
        assert!(matches!(refused, SaveError::Changed(_)), "{refused}");
        assert_eq!(place.read("t.csv"), text);
        assert_eq!(place.names(), ["t.csv"]);
    }
}

#[test]
fn saved_tables_can_be_loaded() {
    // Quotes and escapes make a file longer than the keys and values that it contains.
    for (file, empty) in [("t.csv", ""), ("t.json", "{}")] {
        let place = Place::new(&[(file, empty)]);
        let config = config::Table {
            file_size: 1024,
            ..place.config(file, TableValues::Any)
        };
        let tables = start(std::slice::from_ref(&config)).unwrap();
        change(&tables, "a", Some(&"\"".repeat(600))).unwrap();
        let refused = save(&tables).unwrap_err().to_string();
        let advice = "more than 1024, which `file_size` allows: raise it and reload, or delete";
        assert!(refused.contains(advice), "{refused}");
        assert_eq!(place.read(file), empty);
        assert_eq!(place.names(), [file]);
        assert_eq!(state(&tables).unsaved, 1);
        change(&tables, "a", Some(&"\"".repeat(500))).unwrap();
        save(&tables).unwrap();
        start(&[config]).unwrap();
    }
}

#[test]
fn a_table_beyond_a_lower_limit_may_shrink() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "b", Some(&"v".repeat(2000))).unwrap();
    let lower = config::Table {
        file_size: 1024,
        ..place.config("t.csv", TableValues::Any)
    };
    let prepared = prepare(&[lower], Some(&tables), &is_backend).unwrap();
    prepared.commit(Some(&tables));
    change(&tables, "a", Some("22")).unwrap_err();
    change(&tables, "a", Some("2")).unwrap();
    change(&tables, "b", Some(&"v".repeat(1500))).unwrap();
    change(&tables, "b", None).unwrap();
    change(&tables, "a", Some("22")).unwrap();
}

#[test]
fn a_reload_while_a_table_is_saved() {
    for second in [None, Some("u")] {
        let place = Place::new(&[("t.csv", "a,1\n"), ("u.csv", "")]);
        let tables = place.tables("t.csv", TableValues::Any);
        change(&tables, "a", Some("2")).unwrap();
        let mut configs = vec![place.config("t.csv", TableValues::Any)];
        configs.extend(second.map(|name| config::Table {
            name: name.to_owned(),
            ..place.config("u.csv", TableValues::Any)
        }));
        let prepared = prepare(&configs, Some(&tables), &is_backend).unwrap();
        let mut next = None;
        let record = |saved| {
            let committed = prepared.commit(Some(&tables)).tables;
            change(&committed, "b", Some("3")).unwrap();
            committed.record(saved);
            next = Some(committed);
        };
        tables.save("t", record).unwrap();
        let next = next.unwrap();
        assert_eq!(place.read("t.csv"), "a,2\n");
        assert_eq!(state(&next).unsaved, 1);
        // The saved file is known and not loaded again, and later changes are kept.
        assert!(matches!(place.refresh(&next, "t.csv"), Refreshed::Known));
        assert_eq!(find(&next, "b").as_deref(), Some("3"));
        save(&next).unwrap();
        assert_eq!(place.read("t.csv"), "a,2\nb,3\n");
    }
}

#[test]
fn another_file_is_in_force_once_a_table_is_saved() {
    let place = Place::new(&[("t.csv", "a,1\n"), ("u.csv", "a,9\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "a", Some("2")).unwrap();
    let moved = [place.config("u.csv", TableValues::Any)];
    let prepared = prepare(&moved, Some(&tables), &is_backend).unwrap();
    let record = |saved| {
        prepared.commit(Some(&tables));
        tables.record(saved);
    };
    tables.save("t", record).unwrap();
    assert_eq!(state(&tables).unsaved, 0);
    assert!(matches!(place.refresh(&tables, "u.csv"), Refreshed::Known));
    assert_eq!(find(&tables, "a").as_deref(), Some("9"));
}

#[test]
fn changes_that_end_with_another_configuration_are_counted() {
    let check = |text: &str, name: &str, file: &str, expected: &[(&str, Option<usize>, u64)]| {
        let place = Place::new(&[("t.csv", "a,1\n"), ("u.csv", "a,1\nb,2\n")]);
        let tables = place.tables("t.csv", TableValues::Any);
        change(&tables, "a", Some("3")).unwrap();
        change(&tables, "b", Some("4")).unwrap();
        place.write("t.csv", text);
        let config = config::Table {
            name: name.to_owned(),
            ..place.config(file, TableValues::Any)
        };
        let prepared = prepare(&[config], Some(&tables), &is_backend).unwrap();
        // A change made after preparation is counted as well.
        change(&tables, "c", Some("5")).unwrap();
        let committed = prepared.commit(Some(&tables));
        let expected = expected.iter().map(|(name, entries, dropped)| {
            let file = if entries.is_some() { file } else { "t.csv" };
            place.changed(name, file, *entries, *dropped)
        });
        assert_eq!(committed.changes, expected.collect::<Vec<_>>());
        let unsaved = if committed.changes.is_empty() { 3 } else { 0 };
        assert_eq!(state(&committed.tables).unsaved, unsaved);
    };
    check("a,1\n", "t", "t.csv", &[]);
    check("a,7\n", "t", "t.csv", &[("t", Some(1), 3)]);
    check("a,1\n", "t", "u.csv", &[("t", Some(2), 3)]);
    check("a,1\n", "u", "u.csv", &[("t", None, 3), ("u", Some(2), 0)]);
}

#[test]
fn a_reload_ends_a_failure() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let config = [place.config("t.csv", TableValues::Any)];
    let tables = place.tables("t.csv", TableValues::Any);
    let gone = || {
        fs::remove_file(place.path("t.csv")).unwrap();
        let refreshed = place.refresh(&tables, "t.csv");
        assert!(
            matches!(refreshed, Refreshed::Refused { .. }),
            "{refreshed:?}"
        );
    };
    gone();
    place.write("t.csv", "a,1\n");
    let prepared = prepare(&config, Some(&tables), &is_backend).unwrap();
    assert!(state(&tables).failure.is_some());
    prepared.commit(Some(&tables));
    assert_eq!(state(&tables).failure, None);
    // An error that is found after preparation read the file is kept.
    for text in ["a,1\n", "a,2\n"] {
        place.write("t.csv", "a,1\n");
        assert!(matches!(place.refresh(&tables, "t.csv"), Refreshed::Known));
        place.write("t.csv", text);
        let prepared = prepare(&config, Some(&tables), &is_backend).unwrap();
        gone();
        prepared.commit(Some(&tables));
        assert!(state(&tables).failure.is_some());
    }
}

#[test]
fn changes_of_several_at_once() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let tables = place.tables("t.csv", TableValues::Any);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let tables = &tables;
            scope.spawn(move || {
                for number in 0..700 {
                    tables.fold("t").unwrap();
                    change(tables, &format!("{client}-{number}"), Some("2")).unwrap();
                }
            });
        }
    });
    assert_eq!(state(&tables).entries, 2_801);
    assert_eq!(state(&tables).unsaved, 2_800);
    assert!(!tables.slot("t").unwrap().table.is_due_for_folding());
}

#[test]
fn an_empty_table_is_saved() {
    for (file, before, after) in [("t.csv", "a,1", ""), ("t.json", "{\"a\":\"1\"}", "{}\n")] {
        let place = Place::new(&[(file, before)]);
        let tables = place.tables(file, TableValues::Any);
        change(&tables, "a", None).unwrap();
        save(&tables).unwrap();
        assert_eq!(place.read(file), after);
    }
}

#[test]
fn another_configuration_keeps_changes() {
    let place = Place::new(&[("t.csv", "a,1\n"), ("u.csv", "a,2\n")]);
    let config = place.config("t.csv", TableValues::Any);
    let tables = place.tables("t.csv", TableValues::Any);
    change(&tables, "b", Some("3")).unwrap();
    let prepared = prepare(std::slice::from_ref(&config), Some(&tables), &is_backend).unwrap();
    assert!(Arc::ptr_eq(prepared.tables(), &tables));
    // Changes made after preparation are kept as well.
    change(&tables, "c", Some("4")).unwrap();
    let same = prepared.commit(Some(&tables)).tables;
    assert!(Arc::ptr_eq(&same, &tables));
    assert_eq!(find(&tables, "b").as_deref(), Some("3"));
    assert_eq!(find(&tables, "c").as_deref(), Some("4"));
    assert_eq!(state(&tables).unsaved, 2);
    // The same, with an additional table.
    let second = config::Table {
        name: "u".to_owned(),
        ..place.config("u.csv", TableValues::Any)
    };
    let prepared = prepare(&[config, second], Some(&tables), &is_backend).unwrap();
    change(&tables, "d", Some("5")).unwrap();
    let next = prepared.commit(Some(&tables)).tables;
    assert!(!Arc::ptr_eq(&next, &tables));
    assert!(next.has("u") && !tables.has("u"));
    assert_eq!(find(&next, "d").as_deref(), Some("5"));
    assert_eq!(next.current().find("u", b"a"), Some(&b"2"[..]));
    // The same, with another file for the table.
    let moved = [place.config("u.csv", TableValues::Any)];
    let moved = prepare(&moved, Some(&tables), &is_backend).unwrap();
    let moved = moved.commit(Some(&tables)).tables;
    assert!(Arc::ptr_eq(&moved, &tables));
    assert_eq!(find(&moved, "a").as_deref(), Some("2"));
    assert_eq!(find(&moved, "b"), None);
}

#[test]
fn another_configuration_reads_what_has_changed() {
    let place = Place::new(&[("t.csv", "a,1\n")]);
    let config = [place.config("t.csv", TableValues::Any)];
    let tables = place.tables("t.csv", TableValues::Any);
    place.write("t.csv", "a,2\n");
    let prepared = prepare(&config, Some(&tables), &is_backend).unwrap();
    assert_eq!(find(&tables, "a").as_deref(), Some("1"));
    // Before the commit, the watcher reads a later version of the file.
    place.write("t.csv", "a,3\n");
    place.take_up(&tables, "t.csv");
    prepared.commit(Some(&tables));
    assert_eq!(find(&tables, "a").as_deref(), Some("3"));
    place.write("t.csv", "a\n");
    let refused = prepare(&config, Some(&tables), &is_backend).unwrap_err();
    assert!(
        refused.starts_with("t: line 1: there is one column"),
        "{refused}"
    );
    assert_eq!(find(&tables, "a").as_deref(), Some("3"));
}

#[test]
fn a_value_must_name_a_backend_of_the_new_configuration() {
    let place = Place::new(&[("t.csv", "a,www\nb,node\n")]);
    let config = [place.config("t.csv", TableValues::Backends)];
    let tables = place.tables("t.csv", TableValues::Backends);
    let only_www = |name: &str| name == "www";
    let refused = prepare(&config, Some(&tables), &only_www).unwrap_err();
    let expected = "t: line 2: the value `node` of the key `b` is not a backend";
    assert_eq!(refused, expected);
    place.write("t.csv", "a,www\n");
    place.take_up(&tables, "t.csv");
    let prepared = prepare(&config, Some(&tables), &only_www).unwrap();
    assert_eq!(
        prepared.check_commit(&tables, &only_www),
        CommitCheck::Current
    );
    change(&tables, "a", Some("www")).unwrap();
    assert_eq!(
        prepared.check_commit(&tables, &only_www),
        CommitCheck::Current
    );
    // A change then introduces a value that names the other backend, so the next check fails.
    change(&tables, "c", Some("node")).unwrap();
    assert_eq!(
        prepared.check_commit(&tables, &only_www),
        CommitCheck::Stale
    );
    let refused = prepare(&config, Some(&tables), &only_www).unwrap_err();
    let expected =
        "t: an unsaved change is invalid: the value `node` of the key `c` is not a backend";
    assert_eq!(refused, expected);
}

#[test]
fn entries_without_a_file() {
    let tables = Tables::from_entries([
        ("t", TableValues::Any, vec![("a", "1")]),
        ("b", TableValues::Backends, vec![]),
    ]);
    let tables = tables.unwrap();
    assert_eq!(find(&tables, "a").as_deref(), Some("1"));
    assert!(tables.has("b") && !tables.has("c"));
    assert!(tables.values_are_backends("b") && !tables.values_are_backends("t"));
    let repeated = [("t", TableValues::Any, vec![("a", "1"), ("a", "2")])];
    assert!(Tables::from_entries(repeated).is_err());
}

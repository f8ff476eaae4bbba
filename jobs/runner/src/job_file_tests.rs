//! Tests of reading jobs from disk.

use super::*;

fn job(toml: &str) -> Result<JobFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("job.sql"), "SELECT '${BROKERS}'").unwrap();
    std::fs::write(path.join("job.toml"), toml).unwrap();
    JobFile::load(&path)
}

fn failure(toml: &str) -> String {
    job(toml).unwrap_err().message().to_owned()
}

#[test]
fn a_folder_is_a_job_of_its_name() {
    let loaded = job("[variables]\nA = 'b'\nN = 3\n[settings]\n\"parallelism.default\" = 2\nexecution.checkpointing.interval = '5 s'\n")
        .unwrap();
    assert_eq!(loaded.name, "counts");
    assert_eq!(loaded.variables["N"], "3");
    assert_eq!(loaded.settings["parallelism.default"], "2");
    assert_eq!(loaded.settings["execution.checkpointing.interval"], "5 s");
    assert_eq!(loaded.toml_line("parallelism.default"), Some(5));
}

#[test]
fn a_lone_file_is_a_job_without_toml() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minutes.sql");
    std::fs::write(&path, "x").unwrap();
    std::fs::write(folder.path().join("job.toml"), "broken").unwrap();
    assert_eq!(JobFile::load(&path).unwrap().name, "minutes");
}

#[test]
fn mistakes_in_job_toml_are_named_with_their_line() {
    let message = failure("[variables]\nA = 'b'\n[setings]\nx = 1\n");
    assert!(message.contains("line 3") && message.contains("setings"), "{message}");
    let message = failure("[when-unset.A]\nskipp = []\n");
    assert!(message.contains("line 2") && message.contains("skipp"), "{message}");
    assert!(failure("[settings]\na = [1]\n").contains("'a' is a list"));
    assert!(failure("[settings]\na.b = 1\n\"a.b\" = 2\n").contains("'a.b' is given twice"));
}

#[test]
fn missing_jobs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(JobFile::load(folder.path()).unwrap_err().message().contains("holds no job.sql"));
    assert!(JobFile::load(&folder.path().join("none")).unwrap_err().message().contains("there is no job at"));
}

#[test]
fn sections_apply_while_their_variable_has_no_value() {
    let text = "[when-unset.BROKERS]\nskip = ['kafka_results']\n\
                tables.events = { connector = 'datagen', rows = '${ROWS:-10}', properties.a = 1 }\n";
    let loaded = job(text).unwrap();
    let unset = loaded.overrides(&JobVariables::new(&loaded, BTreeMap::new())).unwrap();
    assert!(unset.skip.contains("kafka_results"));
    assert_eq!(unset.replace["events"]["rows"], "10");
    assert_eq!(unset.replace["events"]["properties.a"], "1");
    let given = BTreeMap::from([("BROKERS".to_owned(), "b:9092".to_owned())]);
    let set = loaded.overrides(&JobVariables::new(&loaded, given)).unwrap();
    assert!(set.skip.is_empty() && set.replace.is_empty());
}

#[test]
fn two_sections_may_not_disagree() {
    let text = "[when-unset.AQ_A]\ntables.t = { connector = 'print' }\n[when-unset.AQ_B]\ntables.t = { connector = 'blackhole' }\n";
    let loaded = job(text).unwrap();
    let error = loaded.overrides(&JobVariables::new(&loaded, BTreeMap::new())).err().unwrap();
    assert!(error.message().contains("table 't'"), "{error}");
}

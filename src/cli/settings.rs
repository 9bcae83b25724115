//! Flags that were not given: from `BRIMFUL_*` variables, and behind them from configuration files.
//!
//! Every flag under the headings of resources, reading and messages is a setting: `--memory-budget` is the variable
//! `BRIMFUL_MEMORY_BUDGET` and the key `memory_budget`. Settings become defaults of the flags, so a flag on the command line
//! is stronger, and values are read by the same parsers. Files are `brimful/config.toml` in the user's configuration
//! folder, then `brimful.toml` here, which is stronger; `--config` or `BRIMFUL_CONFIG` names the only one to read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::args::{Command as SubCommand, CommandLine};
use crate::error::{Error, Result};
use crate::io::closest;

const PREFIX: &str = "BRIMFUL_";

/// Names a configuration file; not a setting itself.
const CONFIG_VARIABLE: &str = "BRIMFUL_CONFIG";

/// A setting: texts as they would stand behind the flag, and where they come from.
struct Setting {
    values: Vec<String>,
    origin: String,
}

/// Settings by key.
type Settings = BTreeMap<String, Setting>;

/// The flags of this process with settings in place of those that were not given. What clap wants to say itself (help,
/// wrong flags) is the outer error.
pub(super) fn parse_command_line() -> Result<Result<CommandLine, clap::Error>> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let command = CommandLine::command();
    let settings = match read_settings(&args, &command) {
        Ok(settings) => settings,
        // Help and wrong flags come first: a broken file does not stand in their way.
        Err(error) => match matches(command, &args) {
            Ok(_) => return Err(error),
            Err(said) => return Ok(Err(said)),
        },
    };
    let plain = command.clone();
    let found = matches(with_defaults(command, &settings), &args);
    let found = found.and_then(|found| CommandLine::from_arg_matches(&found));
    Ok(found.and_then(|found| with_flags_apart(found, plain, &args)))
}

/// A pipeline file stands between flags and settings, so `run` must know which is which.
fn with_flags_apart(found: CommandLine, plain: Command, args: &[OsString]) -> Result<CommandLine, clap::Error> {
    let SubCommand::Run(mut with_settings) = found.command else { return Ok(found) };
    let flags = matches(plain, args).and_then(|found| CommandLine::from_arg_matches(&found))?;
    if let SubCommand::Run(flags) = flags.command {
        with_settings.usual = Some(std::mem::replace(&mut with_settings.session, flags.session));
    }
    Ok(CommandLine { command: SubCommand::Run(with_settings), ..found })
}

fn matches(command: Command, args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from(args)
}

fn read_settings(args: &[OsString], command: &Command) -> Result<Settings> {
    let known = known_settings(command);
    let mut settings = Settings::new();
    for file in config_files(args)? {
        settings.extend(read_file(&file, &known)?);
    }
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let key = name[PREFIX.len()..].to_ascii_lowercase();
        match known.get(&key) {
            Some(_) => {
                let value = value.into_string().map_err(|_| Error::usage(format!("{name} is not UTF-8")))?;
                settings.insert(key, Setting { values: vec![value], origin: format!("the variable {name}") });
            }
            // Other programs may use the prefix; only what looks like a slip is one.
            None if name == CONFIG_VARIABLE => {}
            None => {
                if let Some(near) = closest(&key, known.keys().map(String::as_str)) {
                    let near = format!("{PREFIX}{}", near.to_ascii_uppercase());
                    return Err(
                        Error::usage(format!("there is no setting {name}")).with_hint(format!("did you mean {near}?"))
                    );
                }
            }
        }
    }
    settings.iter().try_for_each(|(key, setting)| check(&known[key], key, setting))?;
    Ok(settings)
}

/// The flags that are settings, by key.
fn known_settings(command: &Command) -> BTreeMap<String, Arg> {
    let all = command.get_arguments().chain(command.get_subcommands().flat_map(Command::get_arguments));
    all.filter_map(|arg| Some((key_of(arg)?, arg.clone()))).collect()
}

/// The key of a flag that is a setting.
fn key_of(arg: &Arg) -> Option<String> {
    let heading = arg.get_help_heading()?;
    let is_setting = ["Resources", "Reading", "Messages"].iter().any(|start| heading.starts_with(start));
    arg.get_long().filter(|long| is_setting && *long != "config").map(|long| long.replace('-', "_"))
}

/// The same command with settings as defaults.
fn with_defaults(command: Command, settings: &Settings) -> Command {
    let set = |arg: Arg| match key_of(&arg).and_then(|key| settings.get(&key)) {
        Some(setting) => arg.default_values(&setting.values).hide_default_value(true),
        None => arg,
    };
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_string()).collect();
    let command = command.mut_args(set);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| sub.mut_args(set)))
}

/// Asks the flag's own parser.
fn check(arg: &Arg, key: &str, setting: &Setting) -> Result<()> {
    let flag = arg.get_long().unwrap_or_default();
    for value in &setting.values {
        let alone = Command::new("brimful").no_binary_name(true).arg(arg.clone().required(false));
        let parsed = match arg.get_action().takes_values() {
            true => alone.try_get_matches_from([format!("--{flag}={value}")]),
            false => alone.try_get_matches_from([format!("--{flag}")]),
        };
        if let Err(error) = parsed {
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string();
            return Err(Error::usage(format!("{said}\n  --> {key} in {}", setting.origin)));
        }
    }
    Ok(())
}

/// The files to read, weakest first.
fn config_files(args: &[OsString]) -> Result<Vec<PathBuf>> {
    let named = named_file(args).or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
    if let Some(named) = named {
        return match named.exists() {
            true => Ok(vec![named]),
            false => Err(Error::usage(format!("the configuration file {} does not exist", named.display()))
                .with_hint("it is named by --config or BRIMFUL_CONFIG")),
        };
    }
    let of_user = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let of_user = of_user.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let files =
        of_user.map(|folder| folder.join("brimful/config.toml")).into_iter().chain([PathBuf::from("brimful.toml")]);
    Ok(files.filter(|file| file.is_file()).collect())
}

/// The file of `--config`, which says where defaults come from and is therefore needed before flags are read.
fn named_file(args: &[OsString]) -> Option<PathBuf> {
    value_of("--config", args).map(PathBuf::from)
}

/// Whether messages are asked for as JSON, whatever else is wrong with the flags.
pub(super) fn asks_for_json() -> bool {
    let args: Vec<OsString> = std::env::args_os().collect();
    let asked = value_of("--log-format", &args).or_else(|| std::env::var_os("BRIMFUL_LOG_FORMAT"));
    asked.is_some_and(|format| format == "json")
}

/// What stands behind `flag`.
fn value_of(flag: &str, args: &[OsString]) -> Option<OsString> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == flag {
            return args.next().cloned();
        }
        let value = arg.to_str().and_then(|arg| arg.strip_prefix(flag)?.strip_prefix('='));
        if let Some(value) = value {
            return Some(value.into());
        }
    }
    None
}

fn read_file(path: &Path, known: &BTreeMap<String, Arg>) -> Result<Settings> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::usage(format!("cannot read the configuration file {shown}: {error}")))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        Error::usage(format!("{shown}, line {line}: {}", error.message()))
    })?;
    let mut settings = Settings::new();
    for (key, value) in table {
        if !known.contains_key(&key) {
            let error = Error::usage(format!("{shown}: there is no setting {key:?}"));
            return Err(match closest(&key.replace('-', "_"), known.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => {
                    error.with_hint("settings are named as flags with _ for -, for example memory_budget = \"4GiB\"")
                }
            });
        }
        let values = match &value {
            toml::Value::Array(values) => {
                values.iter().map(|value| text_of(value, &key, &shown)).collect::<Result<_>>()?
            }
            value => vec![text_of(value, &key, &shown)?],
        };
        settings.insert(key, Setting { values, origin: shown.clone() });
    }
    Ok(settings)
}

/// A value as it would stand behind the flag.
fn text_of(value: &toml::Value, key: &str, file: &str) -> Result<String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        other => Err(Error::usage(format!("{file}: {key} cannot be a {}", other.type_str()))
            .with_hint(format!("for example: {key} = \"..\""))),
    }
}

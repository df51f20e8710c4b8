//! A chat template in Hugging Face's dialect of Jinja, with bounds on what it may spend.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{context, Environment, ErrorKind};
use serde_json::Value as Json;

use crate::error::{Error, Result};

const NAME: &str = "chat_template";
/// Fuel is charged by instruction and, 64 bytes a unit, by data created. What fuel misses, bounded.rs catches.
const BASE_FUEL: u64 = 1_000_000;
const FUEL_PER_MESSAGE: u64 = 10_000;
const FUEL_PER_BYTE: u64 = 4;
const BASE_OUTPUT: usize = 1 << 20;
const OUTPUT_PER_BYTE: usize = 4;
/// Of macros and the like. Small enough for any thread's stack.
const MAX_DEPTH: usize = 200;
const MAX_SOURCE: usize = 1 << 20;

pub struct Template {
    source: String,
    environment: Environment<'static>,
    /// bos_token, eos_token and so on, as the template sees them.
    named_tokens: Vec<(String, String)>,
}

pub struct Message {
    pub role: String,
    pub content: String,
}

impl Template {
    /// `config` is tokenizer_config.json (null where absent), `file` the text of chat_template.jinja.
    pub fn load(config: &Json, file: Option<&str>) -> Result<Option<Self>> {
        if let Some(source) = file {
            return Self::new(source, config).map(Some).map_err(|e| named("chat_template.jinja", e));
        }
        match source_of(config) {
            Err(error) => Err(named("tokenizer_config.json", error)),
            Ok(None) => Ok(None),
            Ok(Some(source)) => Self::new(source, config).map(Some).map_err(|e| named("tokenizer_config.json", e)),
        }
    }

    fn new(source: &str, config: &Json) -> Result<Self> {
        if source.len() > MAX_SOURCE {
            return Err(Error::invalid(format!("a chat template of {} bytes; at most {MAX_SOURCE}", source.len())));
        }
        let mut environment = Environment::new();
        // As transformers compiles them.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(invalid)?;
        environment.set_syntax(syntax);
        environment.set_recursion_limit(MAX_DEPTH);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> std::result::Result<String, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment.add_template_owned(NAME, source.to_owned()).map_err(invalid)?;
        Ok(Template { source: source.to_owned(), environment, named_tokens: named_tokens(config) })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let size = messages.iter().map(|message| message.role.len() + message.content.len()).sum::<usize>();
        let mut environment = self.environment.clone();
        let fuel = BASE_FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + FUEL_PER_BYTE * size as u64;
        environment.set_fuel(Some(fuel));
        let template = environment.get_template(NAME).map_err(invalid)?;
        let messages: Vec<Value> =
            messages.iter().map(|message| context! { role => &message.role, content => &message.content }).collect();
        let mut variables: BTreeMap<String, Value> =
            self.named_tokens.iter().map(|(name, token)| (name.clone(), Value::from(token))).collect();
        variables.insert("messages".into(), Value::from(messages));
        variables.insert("add_generation_prompt".into(), Value::from(true));
        variables.insert("tools".into(), Value::from(()));
        variables.insert("documents".into(), Value::from(()));
        let mut output = Bounded { bytes: Vec::new(), limit: BASE_OUTPUT + OUTPUT_PER_BYTE * size, exceeded: false };
        let rendered = template.render_captured_to(variables, &mut output);
        if output.exceeded {
            return Err(Error::invalid(format!("the chat template writes more than {} bytes", output.limit)));
        }
        rendered.map_err(invalid)?;
        String::from_utf8(output.bytes).map_err(|_| Error::invalid("the chat template writes malformed UTF-8"))
    }
}

/// Takes bytes up to a limit, then fails every write.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.exceeded = true;
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The config's template: a string, or the one called "default" of a list of named ones.
fn source_of(config: &Json) -> Result<Option<&str>> {
    match config.get("chat_template") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(source)) => Ok(Some(source)),
        Some(Json::Array(named)) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(Some)
            .ok_or_else(|| Error::invalid("chat_template: none of the named templates is called \"default\"")),
        Some(_) => Err(Error::invalid("chat_template: neither a string nor a list of named templates")),
    }
}

/// Every "..._token" of the config that is a string or an added token's description.
fn named_tokens(config: &Json) -> Vec<(String, String)> {
    let Some(entries) = config.as_object() else { return Vec::new() };
    let named = entries.iter().filter(|(name, _)| name.ends_with("_token"));
    named
        .filter_map(|(name, value)| Some((name.clone(), value.as_str().or(value["content"].as_str())?.to_owned())))
        .collect()
}

fn named(file: &str, error: Error) -> Error {
    Error { message: format!("{file}: {}", error.message), ..error }
}

/// The engine's own words: they quote the template and what it raised, never the variables.
fn invalid(error: minijinja::Error) -> Error {
    Error::invalid(format!("chat template: {error}"))
}

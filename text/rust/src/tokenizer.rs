//! A checkpoint's tokenizer: Hugging Face's, told never to find special tokens in text by itself.

use std::panic::catch_unwind;

use serde_json::Value as Json;
use tokenizers::{DecoderWrapper, ModelWrapper};

use crate::bounded::Bounds;
use crate::chat::{Chat, Part};
use crate::error::{Code, Error, Result};
use crate::preparation;
use crate::template::{Message, Template};
use crate::vocabulary::Vocabulary;

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pub vocabulary: Vocabulary,
    chat: Option<Chat>,
}

impl Tokenizer {
    /// The contents of tokenizer.json, tokenizer_config.json and chat_template.jinja.
    pub fn load(tokenizer: &[u8], config: Option<&[u8]>, template: Option<&[u8]>) -> Result<Self> {
        let inner = load_inner(tokenizer).map_err(|e| Error::invalid(format!("tokenizer.json: {}", e.message)))?;
        let vocabulary =
            Vocabulary::new(&inner).map_err(|e| Error::invalid(format!("tokenizer.json: {}", e.message)))?;
        let config_size = config.map_or(0, <[u8]>::len);
        let config: Json = match config {
            None => Json::Null,
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| Error::invalid(format!("tokenizer_config.json: {error}")))?,
        };
        let template = template
            .map(|bytes| std::str::from_utf8(bytes).map_err(|e| Error::invalid(format!("chat_template.jinja: {e}"))))
            .transpose()?;
        let size = template.map_or(0, str::len) + config_size;
        let template = template.map(str::to_owned);
        let compile = move || Template::load(&config, template.as_deref());
        let chat = match Bounds::new("compiling the chat template").run(size, compile)? {
            None => None,
            Some(template) => Some(Chat::new(template, specials(&inner))?),
        };
        Ok(Tokenizer { inner, vocabulary, chat })
    }

    pub fn has_template(&self) -> bool {
        self.chat.is_some()
    }

    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|_| Error { code: Code::Internal, message: "the tokenizer failed".into() })?;
        let ids = encoding.get_ids().to_vec();
        // Only a vocabulary that spells its special tokens a second time, as merges, gets here.
        match ids.iter().find(|id| self.vocabulary.is_special(**id)) {
            None => Ok(ids),
            Some(id) => {
                Err(Error::invalid(format!("the text encodes to special token {id}, which text must not yield")))
            }
        }
    }

    pub fn render_chat(&self, messages: &[Message]) -> Result<String> {
        self.chat()?.render(messages)
    }

    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for part in self.chat()?.parts(messages)? {
            match part {
                Part::Special(id) => ids.push(id),
                Part::Text(text) => ids.extend(self.encode(&text)?),
            }
        }
        Ok(ids)
    }

    fn chat(&self) -> Result<&Chat> {
        let missing =
            || Error { code: Code::FailedPrecondition, message: "the checkpoint has no chat template".into() };
        self.chat.as_ref().ok_or_else(missing)
    }
}

fn load_inner(json: &[u8]) -> Result<tokenizers::Tokenizer> {
    // Some contradictions make the library panic: an affix cut in the middle of a character.
    let mut inner = catch_unwind(|| tokenizers::Tokenizer::from_bytes(json))
        .map_err(|_| Error::invalid("it contradicts itself"))?
        .map_err(|error| Error::invalid(error.to_string()))?;
    match inner.get_model() {
        ModelWrapper::BPE(bpe) if bpe.dropout.is_some_and(|dropout| dropout > 0.0) => {
            return Err(Error::invalid("a BPE with dropout encodes at random; only one without is supported"))
        }
        ModelWrapper::BPE(_) => (),
        _ => return Err(Error::invalid("the model is not BPE, the only one supported")),
    }
    if !matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        return Err(Error::invalid("the decoder is not ByteLevel, the only one supported"));
    }
    preparation::check(&inner)?;
    for (token, _) in added(&inner, true) {
        if token.lstrip || token.rstrip || token.single_word {
            return Err(Error::invalid(format!(
                "special token {:?} asks for lstrip, rstrip or single_word, which is not supported",
                token.content
            )));
        }
    }
    inner.set_encode_special_tokens(true); // Hugging Face's name for: do not parse them in text.
    inner.with_truncation(None).map_err(|error| Error::invalid(error.to_string()))?;
    inner.with_padding(None);
    Ok(inner)
}

fn added(inner: &tokenizers::Tokenizer, special: bool) -> Vec<(tokenizers::AddedToken, u32)> {
    let tokens = inner.get_added_tokens_decoder().into_iter();
    tokens.filter(|(_, token)| token.special == special).map(|(id, token)| (token, id)).collect()
}

fn specials(inner: &tokenizers::Tokenizer) -> Vec<(String, u32)> {
    added(inner, true).into_iter().map(|(token, id)| (token.content, id)).collect()
}

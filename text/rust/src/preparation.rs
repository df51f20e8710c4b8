//! What a tokenizer may do to a text before its model sees it: what neither replaces nor inserts, and maps to bytes' symbols
//! exactly once. A list of others makes a short text as long as it likes: twelve replacements of "a" by twenty of them turn
//! one letter into 4 * 10^15, twenty mappings to bytes' symbols one "é" into 4 MB. Byte-level BPEs do without.

use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

use crate::error::{Error, Result};

pub fn check(tokenizer: &tokenizers::Tokenizer) -> Result<()> {
    if let Some(normalizer) = tokenizer.get_normalizer() {
        check_normalizer(normalizer)?;
    }
    let byte_levels = tokenizer.get_pre_tokenizer().map_or(Ok(0), byte_levels)?;
    match byte_levels {
        0 => Err(Error::invalid("the pre-tokenizer has no ByteLevel, which the ByteLevel decoder needs")),
        1 => Ok(()),
        _ => Err(Error::invalid(format!("the pre-tokenizer has {byte_levels} ByteLevels; only one is supported"))),
    }
}

fn check_normalizer(normalizer: &NormalizerWrapper) -> Result<()> {
    use NormalizerWrapper::*;
    match normalizer {
        NFC(_) | NFD(_) | NFKC(_) | NFKD(_) | Lowercase(_) | StripNormalizer(_) | StripAccents(_) => Ok(()),
        Sequence(sequence) => sequence.as_ref().iter().try_for_each(check_normalizer),
        other => Err(unsupported("normalizer", serde_json::to_value(other))),
    }
}

/// How many of its parts are ByteLevel.
fn byte_levels(pre_tokenizer: &PreTokenizerWrapper) -> Result<usize> {
    use PreTokenizerWrapper::*;
    match pre_tokenizer {
        ByteLevel(_) => Ok(1),
        Split(_) | Digits(_) | Punctuation(_) | Whitespace(_) | WhitespaceSplit(_) | UnicodeScripts(_) => Ok(0),
        Sequence(sequence) => sequence.as_ref().iter().map(byte_levels).sum(),
        other => Err(unsupported("pre-tokenizer", serde_json::to_value(other))),
    }
}

fn unsupported(kind: &str, part: serde_json::Result<serde_json::Value>) -> Error {
    let part = part.unwrap_or_default();
    Error::invalid(format!("the {kind} {} is not supported", part["type"].as_str().unwrap_or_default()))
}

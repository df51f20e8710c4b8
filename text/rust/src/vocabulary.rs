//! The bytes of every token of a byte-level BPE.

use std::collections::HashMap;

use tokenizers::Tokenizer;

use crate::error::{Error, Result};

/// Larger ids are taken for a broken file rather than paid for with memory.
const MAX_ID: u32 = (1 << 24) - 1;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    Absent = 0,
    Plain = 1,
    Added = 2,
    Special = 3,
}

pub struct Vocabulary {
    /// By id.
    pub tokens: Vec<(Vec<u8>, Kind)>,
}

impl Vocabulary {
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let bytes = byte_of_char();
        let model = tokenizer.get_vocab(false);
        for (symbol, byte) in &bytes {
            if !model.contains_key(symbol.encode_utf8(&mut [0; 4]) as &str) {
                return Err(Error::invalid(format!("the vocabulary has no token for byte {byte:#04x}")));
            }
        }
        let added = tokenizer.get_added_tokens_decoder();
        let largest = model.values().chain(added.keys()).copied().max().unwrap_or(0);
        if largest > MAX_ID {
            return Err(Error::invalid(format!("token id {largest} is above {MAX_ID}")));
        }
        let mut tokens = vec![(Vec::new(), Kind::Absent); largest as usize + 1];
        for (symbols, id) in &model {
            // Not every model entry need be spelt in byte symbols: one that repeats an added token is plain text.
            let spelt: Option<Vec<u8>> = symbols.chars().map(|symbol| bytes.get(&symbol).copied()).collect();
            tokens[*id as usize] = (spelt.unwrap_or_else(|| symbols.clone().into_bytes()), Kind::Plain);
        }
        for (id, token) in &added {
            let kind = if token.special { Kind::Special } else { Kind::Added };
            tokens[*id as usize] = (token.content.clone().into_bytes(), kind);
        }
        Ok(Vocabulary { tokens })
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.tokens.get(id as usize).is_some_and(|(_, kind)| *kind == Kind::Special)
    }
}

/// GPT-2's map of bytes to printable characters, from the characters' side. Source: openai/gpt-2, src/encoder.py,
/// bytes_to_unicode.
fn byte_of_char() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut shifted = 0x100u32;
    let mut map = HashMap::new();
    for byte in 0..=255u8 {
        let symbol = if printable(byte) {
            char::from(byte)
        } else {
            shifted += 1;
            char::from_u32(shifted - 1).expect("below 0x200")
        };
        map.insert(symbol, byte);
    }
    map
}

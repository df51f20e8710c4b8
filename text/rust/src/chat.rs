//! Conversations to ids, such that only the template's own text yields special tokens.
//!
//! The template sees contents with an invisible mark, a character that occurs nowhere else, at both ends (inside of what
//! a template may trim) and after every character that begins a special token. In what it renders a special token counts
//! only where it stands unbroken: never within a content, never across its edges, however the template cuts and joins.
//! The marks are then dropped, and the stretches between special tokens are encoded as the plain text they are, so that
//! merges across the edge of a content are those of the rendered text as a whole.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::bounded::Bounds;
use crate::error::{Error, Result};
use crate::template::{Message, Template};

/// What a message costs beside its text, in bytes of text.
const MESSAGE_SIZE: usize = 64;

pub struct Chat {
    template: Arc<Template>,
    bounds: Bounds,
    /// Finds special tokens as the tokenizer itself would: leftmost, then longest.
    finder: AhoCorasick,
    ids: Vec<u32>,
    first_chars: HashSet<char>,
    /// Characters that cannot be marks.
    taken: HashSet<char>,
}

/// A stretch of a rendered conversation.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Special(u32),
}

impl Chat {
    /// `specials`: content and id of every special token.
    pub fn new(template: Template, specials: Vec<(String, u32)>) -> Result<Self> {
        // One character cannot be broken by a mark, and a template's trimming may move space across one: such tokens
        // stay plain text.
        let breakable = |token: &str| token.chars().count() > 1 && token.trim() == token;
        let (tokens, ids): (Vec<String>, Vec<u32>) = specials.into_iter().filter(|(token, _)| breakable(token)).unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&tokens)
            .map_err(|error| Error::invalid(format!("tokenizer.json: {error}")))?;
        let first_chars = tokens.iter().filter_map(|token| token.chars().next()).collect();
        let taken = marks_in(template.source()).chain(tokens.iter().flat_map(|token| marks_in(token))).collect();
        Ok(Chat {
            template: Arc::new(template),
            bounds: Bounds::new("the chat template"),
            finder,
            ids,
            first_chars,
            taken,
        })
    }

    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let (text, mark) = self.render_marked(messages)?;
        Ok(text.replace(mark, ""))
    }

    pub fn parts(&self, messages: &[Message]) -> Result<Vec<Part>> {
        let (text, mark) = self.render_marked(messages)?;
        let mut parts = Vec::new();
        let push_text = |parts: &mut Vec<Part>, marked: &str| {
            let plain = marked.replace(mark, "");
            if !plain.is_empty() {
                parts.push(Part::Text(plain));
            }
        };
        let mut end = 0;
        for found in self.finder.find_iter(&text) {
            push_text(&mut parts, &text[end..found.start()]);
            parts.push(Part::Special(self.ids[found.pattern().as_usize()]));
            end = found.end();
        }
        push_text(&mut parts, &text[end..]);
        Ok(parts)
    }

    fn render_marked(&self, messages: &[Message]) -> Result<(String, char)> {
        let mark = self.unused_mark(messages)?;
        let guarded: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                // Templates compare roles, so a plain word stays as it is.
                role: if self.is_plain_word(&message.role) {
                    message.role.clone()
                } else {
                    self.guard(&message.role, mark)
                },
                content: self.guard(&message.content, mark),
            })
            .collect();
        let size = guarded.iter().map(|message| MESSAGE_SIZE + message.role.len() + message.content.len()).sum();
        let template = self.template.clone();
        Ok((self.bounds.run(size, move || template.render(&guarded))?, mark))
    }

    fn guard(&self, text: &str, mark: char) -> String {
        let core = text.trim();
        if core.is_empty() {
            return text.to_owned();
        }
        let start = core.as_ptr() as usize - text.as_ptr() as usize;
        let mut guarded = String::with_capacity(text.len() + text.len() / 8 + 16);
        guarded.push_str(&text[..start]);
        guarded.push(mark);
        for c in core.chars() {
            guarded.push(c);
            if self.first_chars.contains(&c) {
                guarded.push(mark);
            }
        }
        guarded.push(mark);
        guarded.push_str(&text[start + core.len()..]);
        guarded
    }

    fn is_plain_word(&self, role: &str) -> bool {
        role.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !self.finder.is_match(role)
    }

    fn unused_mark(&self, messages: &[Message]) -> Result<char> {
        let mut taken = self.taken.clone();
        for message in messages {
            taken.extend(marks_in(&message.role).chain(marks_in(&message.content)));
        }
        let free = marks().find(|mark| !taken.contains(mark));
        free.ok_or_else(|| Error::invalid("the messages use every noncharacter and private character there is"))
    }
}

/// Characters that mean nothing to anyone: Unicode's noncharacters, then the planes for private use.
fn marks() -> impl Iterator<Item = char> {
    ('\u{fdd0}'..='\u{fdef}').chain('\u{f0000}'..='\u{10ffff}')
}

fn marks_in(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| matches!(c, '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'..='\u{10ffff}'))
}

//! The C interface; unmask_text.h documents it.

mod bounded;
mod chat;
mod error;
mod preparation;
mod template;
mod tokenizer;
mod vocabulary;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

use error::{Code, Error, Result};
use template::Message;
use tokenizer::Tokenizer;

/// Borrowed bytes of the caller's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    size: usize,
}

impl Bytes {
    /// # Safety
    /// `data` points to `size` bytes that outlive 'a.
    unsafe fn get<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(self.data, self.size)
        }
    }

    unsafe fn text<'a>(self, what: impl FnOnce() -> String) -> Result<&'a str> {
        std::str::from_utf8(self.get()).map_err(|error| {
            Error::invalid(format!("{} is not UTF-8: malformed at byte {}", what(), error.valid_up_to()))
        })
    }

    unsafe fn optional<'a>(self) -> Option<&'a [u8]> {
        (self.size > 0).then(|| self.get())
    }
}

#[derive(Default)]
pub struct Reply {
    code: i32,
    bytes: Vec<u8>,
    ids: Vec<i32>,
}

impl From<Vec<u32>> for Reply {
    fn from(ids: Vec<u32>) -> Self {
        // Ids are below 2^24 (vocabulary.rs).
        Reply { ids: ids.into_iter().map(|id| id as i32).collect(), ..Reply::default() }
    }
}

/// Runs `work`; an error or a panic becomes the reply. A panic's words may quote a client's text: they are dropped.
fn reply(work: impl FnOnce() -> Result<Reply>) -> *mut Reply {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let panicked = |_| Err(Error { code: Code::Internal, message: "the text library failed".into() });
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked);
    let reply = outcome.unwrap_or_else(|error| Reply {
        code: error.code as i32,
        bytes: error.message.into_bytes(),
        ids: Vec::new(),
    });
    Box::into_raw(Box::new(reply))
}

unsafe fn messages_of(messages: *const Bytes, count: usize) -> Result<Vec<Message>> {
    let strings = if count == 0 { &[] } else { std::slice::from_raw_parts(messages, 2 * count) };
    let text = |index: usize, what: &str| strings[index].text(|| format!("messages[{}].{what}", index / 2));
    (0..count)
        .map(|i| Ok(Message { role: text(2 * i, "role")?.to_owned(), content: text(2 * i + 1, "content")?.to_owned() }))
        .collect()
}

#[no_mangle]
pub unsafe extern "C" fn unmask_reply_code(reply: *const Reply) -> i32 {
    (*reply).code
}

#[no_mangle]
pub unsafe extern "C" fn unmask_reply_bytes(reply: *const Reply) -> Bytes {
    let bytes = &(*reply).bytes;
    Bytes { data: bytes.as_ptr(), size: bytes.len() }
}

#[no_mangle]
pub unsafe extern "C" fn unmask_reply_ids(reply: *const Reply, size: *mut usize) -> *const i32 {
    let ids = &(*reply).ids;
    *size = ids.len();
    ids.as_ptr()
}

#[no_mangle]
pub unsafe extern "C" fn unmask_reply_free(reply: *mut Reply) {
    drop(Box::from_raw(reply));
}

#[no_mangle]
pub unsafe extern "C" fn unmask_tokenizer_load(
    tokenizer_json: Bytes,
    config_json: Bytes,
    chat_template: Bytes,
    tokenizer: *mut *mut Tokenizer,
) -> *mut Reply {
    reply(|| {
        let loaded = Tokenizer::load(tokenizer_json.get(), config_json.optional(), chat_template.optional())?;
        *tokenizer = Box::into_raw(Box::new(loaded));
        Ok(Reply::default())
    })
}

#[no_mangle]
pub unsafe extern "C" fn unmask_tokenizer_free(tokenizer: *mut Tokenizer) {
    drop(Box::from_raw(tokenizer));
}

#[no_mangle]
pub unsafe extern "C" fn unmask_tokenizer_has_template(tokenizer: *const Tokenizer) -> i32 {
    (*tokenizer).has_template() as i32
}

#[no_mangle]
pub unsafe extern "C" fn unmask_tokenizer_vocabulary(tokenizer: *const Tokenizer) -> *mut Reply {
    reply(|| {
        let mut reply = Reply::default();
        for (bytes, kind) in &(*tokenizer).vocabulary.tokens {
            reply.bytes.extend_from_slice(bytes);
            reply.ids.extend([bytes.len() as i32, *kind as i32]);
        }
        Ok(reply)
    })
}

#[no_mangle]
pub unsafe extern "C" fn unmask_encode(tokenizer: *const Tokenizer, text: Bytes) -> *mut Reply {
    reply(|| Ok((*tokenizer).encode(text.text(|| "text".into())?)?.into()))
}

#[no_mangle]
pub unsafe extern "C" fn unmask_chat_render(
    tokenizer: *const Tokenizer,
    messages: *const Bytes,
    count: usize,
) -> *mut Reply {
    reply(|| {
        let text = (*tokenizer).render_chat(&messages_of(messages, count)?)?;
        Ok(Reply { bytes: text.into_bytes(), ..Reply::default() })
    })
}

#[no_mangle]
pub unsafe extern "C" fn unmask_chat_encode(
    tokenizer: *const Tokenizer,
    messages: *const Bytes,
    count: usize,
) -> *mut Reply {
    reply(|| Ok((*tokenizer).encode_chat(&messages_of(messages, count)?)?.into()))
}

/* The C interface of the Rust library in this folder; only text/tokenizer.cc includes it.
 *
 * No panic crosses it: one becomes a reply with code INTERNAL. Pointers passed in are borrowed for the call. Every
 * function may be called from any thread; a tokenizer is never written to after it was loaded. */
#ifndef UNMASK_TEXT_RUST_UNMASK_TEXT_H_
#define UNMASK_TEXT_RUST_UNMASK_TEXT_H_

#include <cstddef>
#include <cstdint>

extern "C" {

typedef struct UnmaskTokenizer UnmaskTokenizer;

typedef struct UnmaskBytes {
  const uint8_t* data; /* May be null where size is 0. */
  size_t size;
} UnmaskBytes;

/* What a call answers. Owned by the caller, who ends it with unmask_reply_free. Never null. */
typedef struct UnmaskReply UnmaskReply;

int32_t unmask_reply_code(const UnmaskReply* reply);     /* An absl::StatusCode; 0 is success. */
UnmaskBytes unmask_reply_bytes(const UnmaskReply* reply); /* The text asked for, or the error's message. */
const int32_t* unmask_reply_ids(const UnmaskReply* reply, size_t* size);
void unmask_reply_free(UnmaskReply* reply);

/* From the contents of tokenizer.json, tokenizer_config.json and chat_template.jinja; the last two may be absent (size
 * 0). On success *tokenizer is owned by the caller. Messages begin with the name of the file at fault. */
UnmaskReply* unmask_tokenizer_load(UnmaskBytes tokenizer_json, UnmaskBytes config_json, UnmaskBytes chat_template,
                                   UnmaskTokenizer** tokenizer);
void unmask_tokenizer_free(UnmaskTokenizer* tokenizer);
int32_t unmask_tokenizer_has_template(const UnmaskTokenizer* tokenizer);

/* Every token: bytes are all tokens' bytes one after another, ids are pairs (length, kind) by id. */
enum { UNMASK_TOKEN_ABSENT = 0, UNMASK_TOKEN_PLAIN = 1, UNMASK_TOKEN_ADDED = 2, UNMASK_TOKEN_SPECIAL = 3 };
UnmaskReply* unmask_tokenizer_vocabulary(const UnmaskTokenizer* tokenizer);

/* Ids of plain text. */
UnmaskReply* unmask_encode(const UnmaskTokenizer* tokenizer, UnmaskBytes text);

/* A conversation of `count` messages given as 2 * count strings: role, content, role, content, ... Render answers bytes,
 * encode ids. */
UnmaskReply* unmask_chat_render(const UnmaskTokenizer* tokenizer, const UnmaskBytes* messages, size_t count);
UnmaskReply* unmask_chat_encode(const UnmaskTokenizer* tokenizer, const UnmaskBytes* messages, size_t count);

}  // extern "C"

#endif /* UNMASK_TEXT_RUST_UNMASK_TEXT_H_ */

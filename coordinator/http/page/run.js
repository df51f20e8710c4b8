'use strict';
// One generation as it comes over the wire: its steps, kept, so that any of them can be shown again. Knows no document.

class Problem extends Error {
  constructor(error, status) {
    super(error.message);
    this.param = error.param;
    this.status = status;
  }
}

async function call(path, body, token, signal) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const method = body === undefined ? 'GET' : 'POST';
  const reply = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (reply.ok) return reply;
  const text = await reply.text();
  let error = { message: `the service answered ${reply.status}` };
  try { error = JSON.parse(text).error; } catch { /* Not from the service: a proxy's page. */ }
  throw new Problem(error, reply.status);
}

// The objects of a server-sent event stream, to its [DONE].
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = '', end; ;) {
    const { value, done } = await reader.read();
    if (done) throw new Problem({ message: 'the stream ended early' });
    text += value;
    while ((end = text.indexOf('\n\n')) >= 0) {
      const data = text.slice(0, end).replace(/^data: /, '');
      text = text.slice(end + 2);
      if (data === '[DONE]') return;
      const object = JSON.parse(data);
      if (object.error) throw new Problem(object.error);
      yield object;
    }
  }
}

// Positions count from the first one that is shown. A cell: {token, text, confidence, frame}, frame being the step that
// revealed it, 0 for what was given; frames[k] is what step k did.
class Run {
  constructor() {
    this.cells = [];
    this.frames = [{ proposals: new Map(), left: 0, block: -1 }];
    this.first = 0;
    this.completed = null;
  }

  // given: cells that are known before the first step, by position; undefined where a mask is.
  begin(length, first, given = []) {
    this.first = first;
    this.cells = Array.from({ length }, (_, i) => given[i] ?? null);
    this.frames[0].left = this.cells.filter((cell) => !cell).length;
  }

  take(event) {
    if (event.accepted) {
      this.options = event.accepted.options;
      if (!this.cells.length) this.begin(event.accepted.canvas_length - event.accepted.prompt_length, event.accepted.prompt_length);
    } else if (event.step) {
      const { commits, proposals, masks_left: left, block } = event.step;
      const frame = this.frames.length;
      for (const { position, token_id: token, text, confidence } of commits) this.cells[position - this.first] = { token, text, confidence, frame };
      const seen = new Map(proposals.map(({ position, text, confidence }) => [position - this.first, { text, confidence }]));
      this.frames.push({ proposals: seen, left, block });
    } else if (event.completed) {
      this.completed = event.completed;
    }
  }

  get last() { return this.frames.length - 1; }
  // Where the text has ended: cells from here on say nothing.
  get end() {
    if (!this.completed || this.completed.finish_reason !== 'FINISH_REASON_EOS') return this.cells.length;
    return this.completed.usage.completion_tokens;
  }
}

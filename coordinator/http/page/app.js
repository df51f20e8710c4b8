// The two views, and what they share: the model, the token, the problem of the moment.

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem('token') ?? '';
let model = null;

function tell(problem) {
  if (problem?.name === 'AbortError') return;
  $('problem').hidden = !problem;
  $('problem').textContent = problem ? (problem.param ? `${problem.param}: ${problem.message}` : problem.message) : '';
  if (problem?.status === 401) { $('access').hidden = false; $('token').focus(); }
}

async function learnModel() {
  try {
    model = (await (await call('/v1/models', undefined, token)).json()).data[0].diffusion;
    const size = model.parameters > 1e9 ? `${(model.parameters / 1e9).toFixed(1)} B` : `${(model.parameters / 1e6).toFixed(1)} M`;
    $('model').textContent = model.ready
      ? `${model.name} · ${size} parameters · up to ${model.max_sequence_length} tokens · ${model.dtype}, ${model.tensor_parallel} rank${model.tensor_parallel > 1 ? 's' : ''}`
      : `${model.name} · no replica is ready yet`;
    if (!model.has_chat_template) { $('chat').checked = false; $('chat').disabled = true; }
    if (!model.ready) setTimeout(learnModel, 1000);
    tell(null);
  } catch (problem) { tell(problem); }
}

$('access').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  sessionStorage.setItem('token', token);
  $('access').hidden = true;
  learnModel();
});

// Generate.

const lanes = [new Lane($('lanes'), 'Settings', 'The text will emerge here.')];
lanes[0].addSettings({});
let running = null;

$('compare').addEventListener('change', () => {
  if ($('compare').checked) {
    lanes.push(new Lane($('lanes'), 'Settings B', 'The same prompt, by other settings.'));
    lanes[1].addSettings({ ...lanes[0].options(), remasking: 'confidence-threshold', threshold: 0.9 });
  } else {
    lanes.pop().root.remove();
  }
  lanes[0].settings.querySelector('legend').textContent = lanes.length > 1 ? 'Settings A' : 'Settings';
});

function request(diffusion) {
  const text = $('prompt').value;
  const shared = { stream: true, diffusion: { ...diffusion, stream: 'steps', output: { proposals: true } } };
  return $('chat').checked
    ? ['/v1/chat/completions', { messages: [{ role: 'user', content: text }], ...shared }]
    : ['/v1/completions', { prompt: text, ...shared }];
}

$('ask').addEventListener('submit', async (event) => {
  event.preventDefault();
  running?.abort();
  const mine = running = new AbortController();
  tell(null);
  $('stop').hidden = false;
  const all = lanes.map((lane) => {
    const run = new Run();
    lane.watch(run);
    return lane.follow(run, ...request(lane.options()), token, mine.signal).catch((problem) => { tell(problem); });
  });
  await Promise.all(all);
  if (running === mine) { running = null; $('stop').hidden = true; }
});
$('stop').addEventListener('click', () => running?.abort());
$('prompt').addEventListener('keydown', (key) => {
  if (key.key === 'Enter' && (key.ctrlKey || key.metaKey)) $('ask').requestSubmit();
});

// Forward process.

const noised = new Lane($('noised'), 'The text at time t', 'Your text, as far as it is left.');
let own = [];    // Its tokens: {token, text}.
let draws = [];  // One a token, uniform: hidden where the draw is below t. So more is hidden as t grows, and nothing else changes.

const redraw = () => { draws = own.map(() => Math.random()); };
const hidden = () => own.map((_, i) => draws[i] < Number($('t').value));

async function tokenize() {
  const reply = await call('/v1/tokenize', { text: $('own').value }, token);
  const { token_ids: ids, pieces } = await reply.json();
  own = ids.map((id, i) => ({ token: id, text: pieces[i], given: true, confidence: 1, frame: 0 }));
}

function showNoised() {
  $('t-value').textContent = Number($('t').value).toFixed(2);
  const masks = hidden();
  const run = new Run();
  run.begin(own.length, 0, own.map((cell, i) => (masks[i] ? undefined : cell)));
  noised.watch(run);
  noised.facts.textContent = own.length ? `${masks.filter(Boolean).length} of ${own.length} tokens hidden` : '';
  $('restore').disabled = !masks.some(Boolean);
}

async function changed() {
  try {
    await tokenize();
    redraw();
    showNoised();
    tell(null);
  } catch (problem) { tell(problem); }
}

// What is left as ids and the gaps as masks, in runs.
function segments(masks) {
  const parts = [];
  own.forEach((cell, i) => {
    if (i === 0 || masks[i] !== masks[i - 1]) parts.push(masks[i] ? { masks: 0 } : { token_ids: [] });
    masks[i] ? parts.at(-1).masks++ : parts.at(-1).token_ids.push(cell.token);
  });
  return parts;
}

let typing = null;
$('own').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(changed, 250); });
$('t').addEventListener('input', showNoised);
$('redraw').addEventListener('click', () => { redraw(); showNoised(); });
$('noise').addEventListener('submit', async (event) => {
  event.preventDefault();
  running?.abort();
  running = new AbortController();
  tell(null);
  const masks = hidden();
  const original = own;
  const run = new Run();
  run.begin(original.length, 0, original.map((cell, i) => (masks[i] ? undefined : cell)));
  noised.watch(run, original);
  const body = { stream: true, diffusion: { segments: segments(masks), stream: 'steps', seed: '7', output: { proposals: true } } };
  try {
    await noised.follow(run, '/v1/completions', body, token, running.signal);
    const gone = run.cells.filter((_, i) => masks[i]).length;
    const same = run.cells.filter((cell, i) => masks[i] && cell.token === original[i].token).length;
    noised.facts.prepend(element('strong', { textContent: `${same} of ${gone} hidden tokens as they were` }), ' · ');
  } catch (problem) { tell(problem); }
});

// Tabs, by pointer and by arrow keys; and the theme.

const tabs = [...document.querySelectorAll('[role=tab]')];
function select(tab) {
  for (const other of tabs) {
    other.setAttribute('aria-selected', other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    $(other.getAttribute('aria-controls')).hidden = other !== tab;
  }
  if (tab.id === 'tab-forward' && !own.length) changed();
}
tabs.forEach((tab, i) => {
  tab.addEventListener('click', () => select(tab));
  tab.addEventListener('keydown', (key) => {
    if (key.key !== 'ArrowLeft' && key.key !== 'ArrowRight') return;
    const next = tabs[(i + 1) % tabs.length];
    next.focus();
    select(next);
  });
});
$('theme').addEventListener('click', () => {
  const dark = document.documentElement.dataset.theme === 'dark' ||
    (!document.documentElement.dataset.theme && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
});

learnModel();

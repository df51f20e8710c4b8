// A run to look at: its canvas, its slider, its facts; and, for generating, its settings.

// name, label, value, what an <input type=number> takes or a list of choices, and with which strategy alone it counts.
const SETTINGS = [
  { name: 'remasking', label: 'Strategy', long: true, value: 'low-confidence', choices: {
    'low-confidence': 'low confidence (LLaDA)', 'random': 'random (LLaDA)', 'random-s-over-t': 'random s/t (paper)',
    'confidence-threshold': 'threshold (Fast-dLLM)', 'factor': 'factor (dInfer)', 'entropy': 'entropy (Dream)',
    'margin': 'margin (Dream)', 'entropy-bound': 'entropy bound (EB)', 'left-to-right': 'left to right' } },
  { name: 'threshold', label: 'Threshold', value: 0.9, step: 0.01, only: 'confidence-threshold' },
  { name: 'factor', label: 'Factor', value: 1, step: 0.1, only: 'factor' },
  { name: 'entropy_bound', label: 'Bound, nats', value: 0.1, step: 0.05, only: 'entropy-bound' },
  { name: 'gen_length', label: 'Length', value: 64, step: 1 },
  { name: 'block_length', label: 'Block', value: 32, step: 1 },
  { name: 'steps', label: 'Steps', value: 64, step: 1 },
  { name: 'cache', label: 'K/V cache', value: 'none', choices: { none: 'none', prefix: 'prefix', dual: 'dual' } },
  { name: 'temperature', label: 'Temperature', value: 0, step: 0.1 },
  { name: 'cfg_scale', label: 'Guidance', value: 0, step: 0.5 },
  { name: 'seed', label: 'Seed', value: 7, step: 1 },
];

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

class Lane {
  constructor(host, title, empty) {
    this.root = document.getElementById('lane').content.cloneNode(true).firstElementChild;
    host.append(this.root);
    const find = (selector) => this.root.querySelector(selector);
    this.canvas = find('.canvas');
    this.slider = find('.at');
    this.where = find('.where');
    this.play = find('.play');
    this.facts = find('.facts');
    this.settings = find('.settings');
    this.settings.querySelector('legend').textContent = title;
    this.canvas.dataset.empty = empty;
    this.canvas.classList.add('empty');
    this.slider.addEventListener('input', () => { this.pause(); this.show(+this.slider.value); });
    this.play.addEventListener('click', () => (this.timer ? this.pause() : this.replay()));
    this.canvas.addEventListener('keydown', (key) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[key.key];
      if (!move || this.slider.disabled) return;
      key.preventDefault();
      this.pause();
      this.show(Math.min(Math.max(this.at + move, 0), this.run.last));
    });
  }

  addSettings(changed) {
    this.fields = {};
    for (const setting of SETTINGS) {
      const field = setting.choices
        ? element('select', {}, ...Object.entries(setting.choices).map(([value, text]) => element('option', { value, textContent: text })))
        : element('input', { type: 'number', step: setting.step, min: 0 });
      field.value = changed[setting.name] ?? setting.value;
      field.name = setting.name;
      this.fields[setting.name] = field;
      this.settings.append(element('label', { className: setting.long ? 'long' : '' }, setting.label, field));
    }
    const fit = () => {
      for (const { name, only } of SETTINGS) if (only) this.fields[name].parentElement.hidden = only !== this.fields.remasking.value;
    };
    this.fields.remasking.addEventListener('change', fit);
    fit();
  }

  // As the request's "diffusion" object; what is empty is left to the service.
  options() {
    const options = {};
    for (const { name, choices, only } of SETTINGS) {
      const value = this.fields[name].value.trim();
      if (value === '' || (only && only !== options.remasking)) continue;
      options[name] = choices ? value : name === 'seed' ? value : Number(value);
    }
    return options;
  }

  // Shows a run from now on, as it comes. compare: the text it should restore, cell by cell.
  watch(run, compare = null) {
    this.pause();
    this.root.dataset.runs = Number(this.root.dataset.runs ?? 0) + 1;
    this.run = run;
    this.original = compare;
    this.nodes = null;
    this.slider.disabled = this.play.disabled = true;
    this.facts.textContent = '';
    this.draw();
  }

  // Cells are made once a run's length is known, and once more when it is whole: then each keeps room for its last text,
  // so that nothing moves under the slider.
  draw() {
    const { run } = this;
    this.canvas.classList.toggle('empty', !run.cells.length);
    this.nodes = run.cells.map((cell) => {
      const final = run.completed ? this.shown(cell) : '';
      const node = element('span', { className: 'cell' }, element('b', { className: 'final', textContent: final }), element('b'));
      node.dataset.breaks = run.completed && /\n/.test(cell?.text ?? '') ? 'yes' : '';
      return node;
    });
    this.canvas.replaceChildren(...this.nodes.flatMap((node) => (node.dataset.breaks ? [node, element('br')] : [node])));
    this.show(run.last);
  }

  shown(cell) {
    if (!cell) return '  ';
    if (cell.text === '' || cell.text === undefined) return `‹${cell.token}›`;
    if (/^<\|.*\|>$/.test(cell.text)) return '∎';
    return cell.text.replace(/\n/g, '⏎').replace(/\t/g, '⇥');
  }

  advance() {
    if (!this.nodes || this.nodes.length !== this.run.cells.length) return this.draw();
    this.show(this.run.last);
  }

  finish() {
    this.draw();
    this.slider.disabled = this.play.disabled = this.run.last === 0;
  }

  show(at) {
    const { run } = this;
    const frame = run.frames[at];
    this.at = at;
    run.cells.forEach((cell, i) => {
      const node = this.nodes[i];
      const known = cell !== null && cell.frame <= at;
      const proposal = known ? null : frame.proposals.get(i);
      const classes = ['cell'];
      if (known) {
        classes.push(cell.given ? 'given' : cell.frame === at && at > 0 ? 'fresh' : 'known');
        if (i >= run.end) classes.push('over');
        if (this.original && !cell.given) classes.push(this.original[i].token === cell.token ? 'same' : 'other');
      } else {
        classes.push(proposal ? 'proposed' : 'mask');
        if (run.completed && i >= run.end) classes.push('over');
      }
      node.className = classes.join(' ');
      node.lastChild.textContent = known ? this.shown(cell) : proposal ? this.shown(proposal) : '  ';
      node.style.setProperty('--c', known ? cell.confidence ?? 1 : 0);
      node.title = this.told(cell, i, known, proposal);
    });
    this.slider.max = run.last;
    this.slider.value = at;
    this.slider.setAttribute('aria-valuetext', `step ${at} of ${run.last}, ${frame.left} hidden`);
    this.where.textContent = run.cells.length ? `step ${at} of ${run.last} · ${frame.left} hidden` : '';
  }

  told(cell, i, known, proposal) {
    if (known && cell.given) return `position ${i}, given`;
    if (known) return `position ${i}, token ${cell.token}, confidence ${cell.confidence.toFixed(3)}, step ${cell.frame}`;
    return proposal ? `position ${i}, predicted with confidence ${proposal.confidence.toFixed(3)}, hidden again` : `position ${i}, hidden`;
  }

  replay() {
    let next = this.at >= this.run.last ? 0 : this.at;
    this.play.textContent = '⏸';
    this.play.setAttribute('aria-label', 'Pause');
    const pace = Math.min(160, Math.max(30, 6000 / this.run.last));
    this.timer = setInterval(() => {
      this.show(next);
      if (next++ >= this.run.last) this.pause();
    }, pace);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = '▶';
    this.play.setAttribute('aria-label', 'Play the steps');
  }

  // Sends a request and shows what comes.
  async follow(run, path, body, token, signal) {
    const begun = performance.now();
    for await (const object of events(await call(path, body, token, signal))) {
      if (!object.diffusion) continue;
      run.take(object.diffusion);
      if (run === this.run) this.advance();
    }
    if (run !== this.run) return;
    this.finish();
    const { usage, exactness, finish_reason: reason, options } = run.completed;
    const seconds = (performance.now() - begun) / 1000;
    this.facts.replaceChildren(element('strong', { textContent: `${usage.completion_tokens} tokens in ${usage.steps} step${usage.steps === 1 ? '' : 's'}` }),
      `, ${(usage.completion_tokens / usage.steps).toFixed(1)} a step, ${seconds.toFixed(2)} s · `,
      exactness.exact ? 'exact' : `approximate: ${exactness.approximations.join(', ').toLowerCase().replaceAll('_', ' ')}`,
      ` · ended by ${reason.replace('FINISH_REASON_', '').toLowerCase()} · seed ${options.seed}`);
  }
}

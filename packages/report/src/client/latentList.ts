/** The table of latents. Only the rows in view exist, so that it opens as fast at 100,000 latents as at 100. */
import { el } from './dom.ts';
import { number, percent } from './format.ts';
import { latentOrder } from './latentOrder.ts';
import type { RunModel } from './runModel.ts';
import type { SortKey, Store } from './store.ts';

const ROW = 40;
const SPARE = 8;

const COLUMNS: { key: SortKey | null; label: string; class: string }[] = [
  { key: 'latent', label: '#', class: 'c-index' },
  { key: 'density', label: 'Density', class: 'c-density' },
  { key: null, label: 'Fires on', class: 'c-tokens' },
  { key: 'label', label: 'Label', class: 'c-label' },
  { key: 'max', label: 'Max', class: 'c-max' },
  { key: 'children', label: 'Below', class: 'c-children' },
];

export function latentList(store: Store, modelOf: (run: number) => RunModel): HTMLElement {
  let order: Uint32Array = new Uint32Array();
  const count = el('p', { class: 'muted count', role: 'status' });
  const spacer = el('div', { class: 'spacer', role: 'presentation' });
  const scroller = el('div', {
    class: 'scroller',
    role: 'rowgroup',
    tabindex: 0,
    'aria-label': 'Latents; arrow keys choose one',
  });
  scroller.append(spacer);
  const head = el('div', { class: 'list-head', role: 'row' });
  const grid = el('div', { class: 'latents', role: 'grid', 'aria-label': 'Latents' }, head, scroller);

  const drawHead = () => {
    const { sort, descending } = store.choice;
    head.replaceChildren(
      ...COLUMNS.map(({ key, label, class: name }) => {
        if (key === null) return el('div', { role: 'columnheader', class: name }, label);
        const on = key === sort;
        return el(
          'div',
          {
            role: 'columnheader',
            class: name,
            'aria-sort': on ? (descending ? 'descending' : 'ascending') : 'none',
          },
          el(
            'button',
            {
              type: 'button',
              onclick: () =>
                store.set(on ? { descending: !descending } : { sort: key, descending: key !== 'latent' }),
            },
            label,
            on ? (descending ? ' ↓' : ' ↑') : '',
          ),
        );
      }),
    );
  };

  const drawRows = () => {
    // The head stays over the columns whatever room the scroll bar takes.
    head.style.marginRight = `${scroller.offsetWidth - scroller.clientWidth}px`;
    const model = modelOf(store.choice.run);
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
    const last = Math.min(
      order.length,
      Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE,
    );
    spacer.style.height = `${order.length * ROW}px`;
    spacer.replaceChildren(
      ...Array.from({ length: Math.max(0, last - first) }, (_, k) =>
        row(store, model, order[first + k]!, first + k),
      ),
    );
  };

  const drawAll = () => {
    const { run, query, sort, descending } = store.choice;
    const model = modelOf(run);
    order = latentOrder(model, query, sort, descending);
    count.textContent = `${number(order.length)} of ${number(model.page.nLatents)} latents`;
    grid.setAttribute('aria-rowcount', String(order.length + 1));
    drawHead();
    drawRows();
  };

  const reveal = (latent: number) => {
    const at = order.indexOf(latent);
    if (at < 0) return;
    const top = at * ROW;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW > scroller.scrollTop + scroller.clientHeight) {
      scroller.scrollTop = top + ROW - scroller.clientHeight;
    }
  };

  scroller.addEventListener('scroll', () => requestAnimationFrame(drawRows), { passive: true });
  scroller.addEventListener('keydown', (event) => {
    const moves: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: 10,
      PageUp: -10,
      Home: -order.length,
      End: order.length,
    };
    const move = moves[event.key];
    if (move === undefined || order.length === 0) return;
    event.preventDefault();
    const at = store.choice.latent === null ? -1 : order.indexOf(store.choice.latent);
    const next = order[Math.max(0, Math.min(order.length - 1, at + move))]!;
    store.set({ latent: next });
    reveal(next);
  });
  new ResizeObserver(drawRows).observe(scroller);
  store.subscribe((now, before) => {
    const same = (['run', 'query', 'sort', 'descending'] as const).every((key) => now[key] === before[key]);
    if (!same) {
      scroller.scrollTop = 0;
      drawAll();
    } else if (now.latent !== before.latent) drawRows();
    if (now.latent !== null && now.latent !== before.latent) reveal(now.latent);
  });
  drawAll();
  return el('div', { class: 'list' }, count, grid);
}

function row(store: Store, model: RunModel, latent: number, at: number): HTMLElement {
  const density = model.densities[latent]!;
  const label = model.labels(latent)[0];
  const selected = store.choice.latent === latent;
  const below = model.hierarchy?.descendants[latent] ?? 0;
  const tokens = model.topTokens(latent, 6);
  const cell = (name: string, ...children: (Node | string)[]) =>
    el('div', { role: 'gridcell', class: name }, ...children);
  return el(
    'div',
    {
      class: selected ? 'row selected' : 'row',
      role: 'row',
      'aria-rowindex': at + 2,
      'aria-selected': selected ? 'true' : 'false',
      'data-latent': latent,
      style: `top:${at * ROW}px`,
      onclick: () => store.set({ latent }),
    },
    cell('c-index', String(latent)),
    cell('c-density', densityBar(density), percent(density)),
    cell(
      'c-tokens',
      ...(tokens.length > 0
        ? tokens.map((token) => el('span', { class: 'tok' }, token))
        : [el('i', { class: 'muted' }, density === 0 ? 'never fired' : 'no contexts')]),
    ),
    cell('c-label', label ? `${label.name} ${percent(label.share)}` : ''),
    cell('c-max', number(model.maxima[latent]!)),
    cell('c-children', below > 0 ? String(below) : ''),
  );
}

/** Log scale: 1e-5 is empty, 1 is full. */
function densityBar(density: number): HTMLElement {
  const share = density > 0 ? Math.max(0, 1 + Math.log10(density) / 5) : 0;
  return el(
    'span',
    { class: 'bar', 'aria-hidden': 'true' },
    el('span', { style: `width:${Math.round(100 * share)}%` }),
  );
}

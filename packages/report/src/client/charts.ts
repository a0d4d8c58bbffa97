/** The plots of the overview, drawn with Observable Plot at the width they get and again when that changes. */
import * as Plot from '@observablehq/plot';
import type { PageData } from '../pageData.ts';
import { el } from './dom.ts';
import { number, percent } from './format.ts';
import { runColor, swatch } from './overview.ts';

type Row = { run: string; color: string; x: number; y: number | null };
interface ChartKind {
  readonly title: string;
  readonly about: string;
  plot(width: number): Element;
}

export function charts(data: PageData): HTMLElement {
  const kinds = [...prefixCharts(data), densityChart(data), ...curveCharts(data)].filter(
    (kind) => kind !== null,
  );
  return el(
    'section',
    { id: 'charts', 'aria-label': 'Plots' },
    data.runs.length > 1 &&
      el('p', { class: 'legend' }, ...data.runs.map((run, r) => el('span', {}, swatch(r), run.name))),
    el('div', { class: 'charts' }, ...kinds.map(figure)),
  );
}

function figure({ title, about, plot }: ChartKind): HTMLElement {
  const box = el('div', { class: 'plot', role: 'img', 'aria-label': `${title}. ${about}` });
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry?.contentRect.width ?? 0);
    if (width === 0 || width === drawn) return;
    drawn = width;
    box.replaceChildren(plot(width));
  }).observe(box);
  return el(
    'figure',
    {},
    el('figcaption', {}, el('b', {}, title), el('span', { class: 'muted' }, about)),
    box,
  );
}

const BASE = {
  height: 230,
  marginLeft: 52,
  marginBottom: 36,
  style: { background: 'none', fontSize: '12px' },
};

/** Lines, one a run, with dots where there are few points. */
function lines(
  rows: Row[],
  width: number,
  options: { x: Plot.ScaleOptions; y: Plot.ScaleOptions; dots?: boolean },
): Element {
  const shared = { x: 'x', y: 'y', z: 'run', stroke: 'color' };
  return Plot.plot({
    ...BASE,
    width,
    x: { nice: false, ...options.x },
    y: { grid: true, ...options.y },
    color: { type: 'identity' },
    marks: [
      Plot.lineY(rows, { ...shared, strokeWidth: 1.75 }),
      options.dots ? Plot.dotY(rows, { ...shared, fill: 'color', r: 3 }) : null,
      Plot.tip(
        rows,
        Plot.pointerX({
          x: 'x',
          y: 'y',
          title: (row: Row) => `${row.run}\n${number(row.x)}: ${number(row.y)}`,
        }),
      ),
    ],
  });
}

function prefixCharts({ runs }: PageData): (ChartKind | null)[] {
  const rows = (of: 'fvu' | 'ceRecovered'): Row[] =>
    runs.flatMap((run, r) =>
      run.prefixes
        .filter((p) => p.length > 0 && p[of] !== null)
        .map((p) => ({ run: run.name, color: runColor(r), x: p.length, y: p[of] })),
    );
  const chart = (title: string, about: string, all: Row[], y: Plot.ScaleOptions): ChartKind | null => {
    const lengths = [...new Set(all.map((row) => row.x))];
    if (lengths.length < 2) return null;
    const x = {
      type: 'log' as const,
      label: 'latents kept',
      ticks: lengths.length <= 8 ? lengths : 5,
      tickFormat: 'd',
    };
    return { title, about, plot: (width) => lines(all, width, { x, y: { ...y, label: null }, dots: true }) };
  };
  return [
    chart(
      'FVU by prefix',
      'Variance left unexplained by the first latents alone; lower is better.',
      rows('fvu'),
      {
        zero: true,
      },
    ),
    chart(
      'CE recovered by prefix',
      'With only the first latents in place; 1 is unharmed.',
      rows('ceRecovered'),
      {},
    ),
  ];
}

function densityChart({ runs }: PageData): ChartKind {
  const bins = runs.flatMap((run, r) =>
    run.density.counts.map((count, k) => ({
      run: run.name,
      color: runColor(r),
      from: 10 ** run.density.edges[k]!,
      to: 10 ** run.density.edges[k + 1]!,
      count,
    })),
  );
  const used = bins.filter((bin) => bin.count > 0);
  const lowest = Math.min(1e-3, ...used.map((bin) => bin.from));
  const dead = runs.map((run) => `${run.name} ${run.density.dead.toLocaleString('en')}`).join(', ');
  return {
    title: 'Firing density',
    about: `Latents by the share of tokens they fire on. Dead: ${dead}.`,
    plot: (width) =>
      Plot.plot({
        ...BASE,
        width,
        x: { type: 'log', domain: [lowest, 1], label: 'share of tokens', tickFormat: percent, ticks: 4 },
        y: { grid: true, label: null },
        color: { type: 'identity' },
        marks: [
          Plot.rectY(used, {
            x1: 'from',
            x2: 'to',
            // From 0, not stacked: runs lie over each other.
            y1: 0,
            y2: 'count',
            fill: 'color',
            fillOpacity: runs.length > 1 ? 0.35 : 0.7,
            stroke: 'color',
            inset: 0.5,
          }),
          Plot.ruleY([0]),
          Plot.tip(
            used,
            Plot.pointerX({
              x: (bin: (typeof bins)[number]) => Math.sqrt(bin.from * bin.to),
              y: 'count',
              title: (bin: (typeof bins)[number]) =>
                `${bin.run}\n${number(bin.count)} latents\n${number(100 * bin.from)} – ${number(100 * bin.to)} %`,
            }),
          ),
        ],
      }),
  };
}

function curveCharts({ runs }: PageData): (ChartKind | null)[] {
  const chart = (
    title: string,
    about: string,
    of: 'fvu' | 'l0' | 'dead' | 'loss',
    y: Plot.ScaleOptions,
  ): ChartKind | null => {
    const rows = runs.flatMap((run, r) =>
      run.curves.map((p): Row => ({ run: run.name, color: runColor(r), x: p.step, y: p[of] })),
    );
    const values = rows.flatMap((row) => (row.y === null ? [] : [row.y]));
    if (values.length < 2) return null;
    const log = y.type === 'log' && Math.min(...values) > 0;
    return {
      title,
      about,
      plot: (width) =>
        lines(rows, width, { x: { label: 'step' }, y: { ...y, type: log ? 'log' : 'linear', label: null } }),
    };
  };
  return [
    chart('Training: FVU', 'Of each batch, all latents.', 'fvu', { type: 'log', ticks: 5, tickFormat: '~g' }),
    chart(
      'Training: loss',
      'Sum over prefixes; comparable only between runs with the same prefixes.',
      'loss',
      {
        type: 'log',
        ticks: 5,
        tickFormat: '~g',
      },
    ),
    chart('Training: L0', 'Active latents a token.', 'l0', { zero: true }),
    chart('Training: dead latents', 'Share that has not fired lately.', 'dead', {
      zero: true,
      tickFormat: '.0%',
    }),
  ];
}

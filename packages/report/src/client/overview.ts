/** The top of the page: remarks, the table that sets runs side by side, facts, further tables. */
import type { PageData, PageMetric, PageTable } from '../pageData.ts';
import { el } from './dom.ts';
import { number, percent } from './format.ts';

export function overview(data: PageData): HTMLElement {
  return el(
    'section',
    { id: 'overview', 'aria-labelledby': 'overview-title' },
    el('h2', { id: 'overview-title' }, 'Overview'),
    data.notes.length > 0 && el('ul', { class: 'notes' }, ...data.notes.map((note) => el('li', {}, note))),
    el('div', { class: 'beside' }, metricTable(data), el('div', {}, ...data.tables.map(table), facts(data))),
  );
}

function metricTable({ metrics, runs }: PageData): HTMLElement {
  return el(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Metrics of every run' },
    el(
      'table',
      { class: 'metrics' },
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          el('th', { scope: 'col' }, 'Metric'),
          ...runs.map((run, r) => el('th', { scope: 'col', class: 'value' }, swatch(r), run.name)),
        ),
      ),
      el(
        'tbody',
        {},
        ...metrics.map((metric) =>
          el(
            'tr',
            {},
            el(
              'th',
              { scope: 'row' },
              el('details', {}, el('summary', {}, metric.label, direction(metric)), el('p', {}, metric.help)),
            ),
            ...metric.values.map((value, r) =>
              el(
                'td',
                { class: best(metric) === r ? 'value best' : 'value' },
                metric.percent ? percent(value) : number(value),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

function direction({ better }: PageMetric): HTMLElement | null {
  if (!better) return null;
  return el('span', { class: 'direction', title: `${better} is better` }, better === 'lower' ? ' ↓' : ' ↑');
}

/** The run with the best value where there are several and they differ. */
function best({ better, values }: PageMetric): number {
  const present = values.filter((value) => value !== null);
  if (!better || present.length < 2) return -1;
  const [low, high] = [Math.min(...present), Math.max(...present)];
  if (low === high) return -1;
  return values.indexOf(better === 'lower' ? low : high);
}

/** The colour of a run, beside its name wherever that stands. */
export function swatch(run: number): HTMLElement {
  return el('span', { class: 'swatch', style: `background:${runColor(run)}`, 'aria-hidden': 'true' });
}

export function runColor(run: number): string {
  return `var(--run-${run % 4})`;
}

function facts(data: PageData): HTMLElement | null {
  const groups = [
    { name: '', facts: data.facts },
    ...data.runs.map((run) => ({ name: run.name, facts: run.facts })),
  ].filter((group) => group.facts.length > 0);
  if (groups.length === 0) return null;
  return el(
    'details',
    { class: 'facts' },
    el('summary', {}, 'How these were made'),
    ...groups.map((group) =>
      el(
        'div',
        {},
        group.name !== '' && el('h3', {}, group.name),
        el(
          'dl',
          {},
          ...group.facts.map((fact) => el('div', {}, el('dt', {}, fact.label), el('dd', {}, fact.value))),
        ),
      ),
    ),
  );
}

function table({ title, note, columns, rows }: PageTable): HTMLElement {
  return el(
    'div',
    { class: 'table-block' },
    el('h3', {}, title),
    note !== undefined && el('p', { class: 'muted' }, note),
    el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title },
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el('tr', {}, ...columns.map((c, k) => el('th', { scope: 'col', class: k ? 'value' : '' }, c))),
        ),
        el(
          'tbody',
          {},
          ...rows.map((row) =>
            el(
              'tr',
              {},
              ...row.map((cell, k) =>
                el(
                  k === 0 ? 'th' : 'td',
                  k === 0 ? { scope: 'row' } : { class: 'value' },
                  typeof cell === 'string' ? cell : number(cell),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

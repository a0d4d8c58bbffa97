/** The report as one HTML page that needs nothing else: style, script and data are inside, and its policy forbids the network. */
import { msaeError } from '@msae/schema';
import { clientScript, clientStyle } from './generated/client.ts';
import type { PageData } from './pageData.ts';
import { pageMetrics } from './pageMetrics.ts';
import { pageRun } from './pageRun.ts';
import type { ReportInput } from './reportInput.ts';

/**
 * Renders a report.
 *
 * @returns a complete HTML document, UTF-8
 * @throws MsaeError `option` for no runs, `shape` for parts of a run that belong to SAEs of different sizes, `missing` for an
 * evaluation without what the page is made of
 */
export function renderReport(input: ReportInput): string {
  if (input.runs.length === 0) {
    throw msaeError('option', 'report: no runs; give at least one evaluated SAE');
  }
  const data: PageData = {
    title: input.title,
    notes: [...(input.notes ?? []), ...missing(input)],
    facts: input.facts ?? [],
    tables: input.tables ?? [],
    metrics: pageMetrics(input.runs),
    runs: input.runs.map(pageRun),
    vocabulary: input.vocabulary ?? null,
  };
  const title = escapeHtml(input.title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${clientStyle}</style>
</head>
<body>
<header class="top">
<div>
<h1>${title}</h1>
${input.subtitle ? `<p class="subtitle">${escapeHtml(input.subtitle)}</p>` : ''}
</div>
<button type="button" id="theme" class="quiet" aria-label="Switch between light and dark">◐</button>
</header>
<main id="page"><noscript><p class="notes">This report draws its tables and plots with the script inside this file; allow JavaScript to read it. It loads nothing from the network.</p></noscript></main>
<script type="application/json" id="data">${scriptJson(data)}</script>
<script>${clientScript}</script>
</body>
</html>
`;
}

/** One remark for every part that the input lacks. */
function missing({ runs, vocabulary }: ReportInput): string[] {
  const notes: string[] = [];
  for (const run of runs) {
    if (!run.evaluation.contexts?.some((contexts) => contexts.length > 0)) {
      notes.push(`${run.name}: the activations came without token ids, so there are no contexts to show.`);
    } else if (!vocabulary) {
      notes.push(`${run.name}: there is no vocabulary, so contexts show token ids.`);
    }
    if (!run.recovered) notes.push(`${run.name}: cross-entropy recovered was not measured.`);
  }
  return [...new Set(notes)];
}

/** Text for HTML and attribute values. */
function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, (c) => entities[c]!);
}

/** JSON that cannot end the script element it sits in, whatever its strings hold (lone surrogates are escaped by JSON itself). */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value)
    .replace(/</g, '\\u003c')
    .replace(/\u2028/g, '\\u2028')
    .replace(/\u2029/g, '\\u2029');
}

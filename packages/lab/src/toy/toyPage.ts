/** One self-contained HTML page of a toy experiment: the figures by preset and by seed, and every run's heat maps. */
import { escapeXml } from './heatMaps.ts';
import { summarizeToy, TOY_COLUMNS, type ToyResult, toyCells } from './toyTable.ts';

export interface PageRun {
  readonly result: ToyResult;
  readonly png: Uint8Array;
}

export function toyPage(runs: readonly PageRun[], backend: string): string {
  const results = runs.map((run) => run.result);
  const summaries = summarizeToy(results);
  const heading = (first: readonly string[], last: readonly string[]): string =>
    row([...first, ...TOY_COLUMNS, ...last], 'th');
  const sections = summaries.map(({ preset }) => {
    const own = runs.filter((run) => run.result.preset === preset);
    return `<section><h2>${escapeXml(preset)}</h2>
<div class="scroll"><table>${heading(['seed'], ['exact'])}${own
      .map(({ result }) => row([String(result.seed), ...toyCells(result), result.exact ? 'yes' : 'no']))
      .join('')}</table></div>
<div class="grid">${own
      .map(
        ({ result, png }) =>
          `<figure><img alt="Heat maps of ${escapeXml(preset)}, seed ${result.seed}" src="data:image/png;base64,${Buffer.from(png).toString('base64')}"><figcaption>seed ${result.seed}: cosine ${result.scores.cosine.mean.toFixed(4)}, F1 ${result.scores.f1.mean.toFixed(4)}, absorption ${result.scores.absorption.toFixed(3)}</figcaption></figure>`,
      )
      .join('')}</div></section>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The toy tree</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f;background:#fff}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.scroll{overflow-x:auto}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem;margin-top:1rem}
figure{margin:0}img{width:100%;height:auto;border:1px solid #ddd}figcaption{font-size:13px}
</style></head><body>
<h1>The toy tree</h1>
<p>${results[0]?.steps ?? 0} steps on the ${escapeXml(backend)} backend. Means over seeds; the columns “min” hold the least. A seed is exact when cosine
and F1 are at least .999, absorption is 0, FVU at most 1e-4 and every |child·parent| at most .01.</p>
<div class="scroll"><table>${heading(['preset'], ['exact'])}${summaries
    .map((s) => row([s.preset, ...toyCells(s), `${s.exact} of ${s.seeds}`]))
    .join('')}</table></div>
<p>Each picture, from above: true activations of 100 samples (a row is a feature), the latents matched with them, and below on the left
decoder rows, on the right encoder columns, against the true directions (a row is a latent in the order of its feature; red is a cosine of 1, blue −1).
Features 0, 4 and 8 are parents; 1–3, 5–7, 9–11 their children; 12–19 stand alone.</p>
${sections.join('\n')}
</body></html>
`;
}

function row(cells: readonly string[], tag: 'td' | 'th' = 'td'): string {
  return `<tr>${cells.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('')}</tr>`;
}

/** The toy's pictures as grids of coloured cells: activations beside the truth, decoder and encoder against it; as SVG here, as PNG in toyPng.ts. */

import type { ToyPictures } from './evaluateToy.ts';

export type Rgb = readonly [number, number, number];

export interface Panel {
  readonly title: string;
  readonly x: number;
  readonly y: number;
  /** Size of a cell. */
  readonly cell: number;
  readonly rows: number;
  readonly columns: number;
  readonly colour: (row: number, column: number) => Rgb;
}

const WHITE: Rgb = [255, 255, 255];
const DARK: Rgb = [20, 24, 60];
const RED: Rgb = [190, 30, 45];
const BLUE: Rgb = [35, 85, 180];
const [MARGIN, TITLE, LARGE, SMALL] = [12, 18, 14, 6];

const mix = (from: Rgb, to: Rgb, t: number): Rgb =>
  [0, 1, 2].map((c) => Math.round(from[c]! + (to[c]! - from[c]!) * Math.min(1, Math.max(0, t)))) as never;
/** 0 white, 1 dark. */
const activationColour = (value: number): Rgb => mix(WHITE, DARK, value);
/** −1 blue, 0 white, 1 red. */
const cosineColour = (value: number): Rgb => mix(WHITE, value < 0 ? BLUE : RED, Math.abs(value));

/** What is drawn where. */
export function panels(pictures: ToyPictures): Panel[] {
  const { nFeatures: n, rows, truth, latents, decoder, encoder } = pictures;
  const over = (values: Float32Array) => (feature: number, sample: number) =>
    activationColour(values[sample * n + feature]!);
  const against = (values: Float64Array) => (latent: number, feature: number) =>
    cosineColour(values[latent * n + feature]!);
  const wide = { x: MARGIN, cell: SMALL, rows: n, columns: rows };
  const square = { cell: LARGE, rows: n, columns: n };
  const second = MARGIN + TITLE + n * SMALL + MARGIN;
  const third = second + TITLE + n * SMALL + MARGIN;
  return [
    { ...wide, title: 'true activations (features × samples)', y: MARGIN + TITLE, colour: over(truth) },
    {
      ...wide,
      title: 'matched latents, each over its largest value',
      y: second + TITLE,
      colour: over(latents),
    },
    {
      ...square,
      title: 'decoder · true (latents × features)',
      x: MARGIN,
      y: third + TITLE,
      colour: against(decoder),
    },
    {
      ...square,
      title: 'encoder · true (latents × features)',
      x: 2 * MARGIN + n * LARGE,
      y: third + TITLE,
      colour: against(encoder),
    },
  ];
}

/** Size of the whole picture. */
export function extent(all: readonly Panel[]): { width: number; height: number } {
  return {
    width: Math.max(...all.map((p) => p.x + p.columns * p.cell)) + MARGIN,
    height: Math.max(...all.map((p) => p.y + p.rows * p.cell)) + MARGIN,
  };
}

/** A self-contained SVG, with titles. */
export function toySvg(pictures: ToyPictures, title: string): string {
  const all = panels(pictures);
  const { width, height } = extent(all);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="11">`,
    `<title>${escapeXml(title)}</title><rect width="100%" height="100%" fill="#fff"/>`,
  ];
  for (const { title: heading, x, y, cell, rows, columns, colour } of all) {
    parts.push(`<text x="${x}" y="${y - 5}">${escapeXml(heading)}</text>`);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const rgb = colour(r, c);
        if (rgb.every((channel) => channel >= 254)) continue;
        parts.push(
          `<rect x="${x + c * cell}" y="${y + r * cell}" width="${cell}" height="${cell}" fill="#${hex(rgb)}"/>`,
        );
      }
    }
    parts.push(
      `<rect x="${x}" y="${y}" width="${columns * cell}" height="${rows * cell}" fill="none" stroke="#999"/>`,
    );
  }
  return `${parts.join('\n')}\n</svg>\n`;
}

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

const hex = (rgb: Rgb): string => rgb.map((channel) => channel.toString(16).padStart(2, '0')).join('');

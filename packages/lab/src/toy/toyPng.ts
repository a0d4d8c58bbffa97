/** The toy's heat maps as a PNG: the SVG's panels in the same places, without titles. */
import type { ToyPictures } from './evaluateToy.ts';
import { extent, panels, type Rgb } from './heatMaps.ts';
import { encodePng } from './png.ts';

export function toyPng(pictures: ToyPictures): Uint8Array {
  const all = panels(pictures);
  const { width, height } = extent(all);
  const pixels = new Uint8Array(width * height * 3).fill(255);
  const paint = (x: number, y: number, rgb: Rgb): void => pixels.set(rgb, (y * width + x) * 3);
  for (const { x, y, cell, rows, columns, colour } of all) {
    for (let r = -1; r <= rows * cell; r++) {
      for (let c = -1; c <= columns * cell; c++) {
        const border = r < 0 || c < 0 || r === rows * cell || c === columns * cell;
        paint(x + c, y + r, border ? [153, 153, 153] : colour(Math.floor(r / cell), Math.floor(c / cell)));
      }
    }
  }
  return encodePng(pixels, width, height);
}

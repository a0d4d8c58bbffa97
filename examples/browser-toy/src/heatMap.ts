/** A matrix as pixels, one a value: white at 0, blue upwards, red downwards. */
export function drawHeatMap(
  canvas: HTMLCanvasElement,
  { data, rows, columns, largest }: { data: Float32Array; rows: number; columns: number; largest: number },
): void {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(columns, rows);
  data.forEach((value, i) => {
    const size = Math.min(1, Math.abs(value) / largest);
    const [r, g, b] = value >= 0 ? [24, 87, 196] : [200, 50, 30];
    image.data.set([255 - size * (255 - r), 255 - size * (255 - g), 255 - size * (255 - b), 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
}

/** [rows, columns] → [columns, rows]. */
export function transposed(data: Float32Array, columns: number): Float32Array {
  const rows = data.length / columns;
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!);
}

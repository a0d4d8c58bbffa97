/** The page: buttons, numbers, a live loss curve and heat maps. All training happens in worker.ts. */
import { isMsaeError } from '@msae/schema';
import { callback, linkWorker, type WorkerLink } from '@msae/web';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { drawHeatMap, transposed } from './heatMap.ts';
import type { Settings, Started, TrainingApi, Update } from './worker.ts';

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const [start, pause, reset] = ['start', 'pause', 'reset'].map((id) => element<HTMLButtonElement>(id)) as [
  HTMLButtonElement,
  HTMLButtonElement,
  HTMLButtonElement,
];
const query = new URLSearchParams(location.search);
const backendChoice = element<HTMLSelectElement>('backend');
backendChoice.value = query.get('backend') ?? 'webgpu';
if (!backendChoice.value) backendChoice.value = 'webgpu';

let link: WorkerLink<TrainingApi> | undefined;
let isPaused = false;
let losses: [number[], number[]] = [[], []];

const plot = new uPlot(
  {
    width: 600,
    height: 220,
    scales: { x: { time: false }, y: { distr: 3 } },
    axes: [
      { label: 'step', stroke: () => getComputedStyle(document.body).color },
      { stroke: () => getComputedStyle(document.body).color, size: 70 },
    ],
    series: [{ label: 'step' }, { label: 'loss', stroke: '#3b7de0', width: 1.5 }],
  },
  losses,
  element('loss'),
);
const resize = (): void => plot.setSize({ width: element('loss').clientWidth, height: 220 });
addEventListener('resize', resize);
resize();

start.addEventListener('click', () => void run());
pause.addEventListener('click', () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? 'Go on' : 'Pause';
  void (isPaused ? link?.api.pause() : link?.api.resume());
});
reset.addEventListener('click', () => {
  link?.close();
  link = undefined;
  show({ running: false });
  losses = [[], []];
  plot.setData(losses);
  for (const id of ['step', 'rate', 'fvu', 'l0', 'cosine', 'absorption']) element(id).textContent = '–';
  for (const id of ['truth', 'latents', 'directions']) {
    const canvas = element<HTMLCanvasElement>(id);
    canvas.getContext('2d')!.clearRect(0, 0, canvas.width, canvas.height);
  }
  element('device').textContent = 'not started';
  notice('');
});

async function run(): Promise<void> {
  link?.close();
  link = linkWorker<TrainingApi>(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
  losses = [[], []];
  show({ running: true });
  element('device').textContent = 'starting …';
  const settings: Settings = {
    backend: backendChoice.value as Settings['backend'],
    scheme: element<HTMLSelectElement>('scheme').value as Settings['scheme'],
    seed: Number(query.get('seed') ?? 0),
    steps: Number(query.get('steps') ?? 15_000),
  };
  const mine = link;
  try {
    // What a closed link has sent before may still arrive.
    const ifCurrent =
      <T>(draw: (message: T) => void) =>
      (message: T): void => {
        if (link === mine) draw(message);
      };
    await mine.api.start(settings, callback(ifCurrent(onStarted)), callback(ifCurrent(onUpdate)));
    if (link === mine) show({ running: false, done: true });
  } catch (error) {
    if (link !== mine) return;
    if (!isMsaeError(error, 'device') || !error.message.includes('closed'))
      notice(error instanceof Error ? error.message : String(error));
    show({ running: false });
  }
}

let shape = { samples: 0, features: 0 };

function onStarted({ backend, notice: why, truth, samples, features }: Started): void {
  shape = { samples, features };
  element('device').textContent = `${backend.name} · ${backend.device}`;
  notice(why);
  drawHeatMap(element('truth'), {
    data: transposed(truth, features),
    rows: features,
    columns: samples,
    largest: 1,
  });
}

function onUpdate({ metrics, latents, cosines, cosine, absorption }: Update): void {
  const { samples, features } = shape;
  losses[0].push(metrics.step);
  losses[1].push(metrics.loss);
  plot.setData(losses);
  element('step').textContent = metrics.step.toLocaleString('en');
  element('rate').textContent = metrics.stepsPerSecond.toFixed(0);
  element('fvu').textContent = metrics.fvu.toPrecision(3);
  element('l0').textContent = metrics.l0.toFixed(2);
  element('cosine').textContent = cosine.toFixed(3);
  element('absorption').textContent = absorption.toFixed(2);
  drawHeatMap(element('latents'), {
    data: transposed(latents, features),
    rows: features,
    columns: samples,
    largest: 1,
  });
  drawHeatMap(element('directions'), { data: cosines, rows: features, columns: features, largest: 1 });
}

function show({ running, done = false }: { running: boolean; done?: boolean }): void {
  isPaused = false;
  pause.textContent = 'Pause';
  start.textContent = done ? 'Start again' : 'Start';
  start.disabled = running;
  pause.disabled = !running;
  reset.disabled = !running && !done;
}

function notice(text: string): void {
  const line = element('notice');
  line.hidden = text === '';
  line.textContent = text;
}

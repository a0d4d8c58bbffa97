export {
  registerWebGpu,
  releaseWebGpu,
  requestWebGpuAdapter,
  trimWebGpuBuffers,
  type WebGpuOptions,
  webGpuFailure,
} from './device.ts';
export { type DeviceHandlers, isWebGpuDeviceLost } from './deviceGuard.ts';

//VERSION=3
function setup() {
  return { input: [{ bands: ["B04", "dataMask"] }], output: { bands: 1, sampleType: "FLOAT32" }, mosaicking: "ORBIT" };
}
function updateOutput(outputs, collections) {
  const scenes = collections.scenes;
  if (scenes.length === scenes.orbits.length && scenes[0].date instanceof Date) {
    outputs.default.bands = scenes.orbits.length;
  }
}
function evaluatePixel(samples) {
  return samples.map((sample) => sample.B04);
}

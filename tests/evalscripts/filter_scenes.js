//VERSION=3
function setup() {
  return { input: [{ bands: ["B04", "dataMask"] }], output: { bands: 1, sampleType: "UINT8" }, mosaicking: "ORBIT" };
}
function filterScenes(scenes, inputMetadata) {
  return scenes.filter((scene) => scene.date.getTime() >= inputMetadata.to.getTime() - 20 * 24 * 3600 * 1000);
}
function evaluatePixel(samples) {
  return [samples.length];
}

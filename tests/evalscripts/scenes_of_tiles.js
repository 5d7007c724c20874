//VERSION=3
function setup() {
  return { input: [{ bands: ["B04", "dataMask"] }], output: { bands: 3, sampleType: "FLOAT32" }, mosaicking: "TILE" };
}
function evaluatePixel(samples, scenes) {
  const months = scenes.map((scene) => scene.date.getUTCMonth());
  return [scenes.tiles.length - samples.length, Math.max(...months), new Date(scenes.tiles[0].date).getUTCFullYear()];
}

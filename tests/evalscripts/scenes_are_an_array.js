//VERSION=3
function setup() {
  return { input: [{ bands: ["B04", "dataMask"] }], output: { bands: 4, sampleType: "FLOAT32" }, mosaicking: "ORBIT" };
}
function evaluatePixel(samples, scenes) {
  let latest = 0;
  for (let i = 0; i < scenes.length; i++) {
    latest = Math.max(latest, scenes[i].date.getTime());
  }
  const first = new Date(scenes.orbits[0].dateFrom).getTime();
  return [scenes.length - samples.length, scenes.orbits.length - samples.length, latest - first, scenes.tiles.length > 0];
}

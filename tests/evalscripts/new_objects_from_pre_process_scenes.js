//VERSION=3
function setup() {
  return {
    input: [{ bands: ["B04", "dataMask"] }],
    output: { bands: 1, sampleType: "UINT8" },
    mosaicking: "ORBIT",
  };
}
function preProcessScenes(collections) {
  const newest = collections.scenes.orbits.slice(0, 2).map((orbit) => ({ dateFrom: orbit.dateFrom, mine: true }));
  return { scenes: { orbits: newest } };
}
function evaluatePixel(samples) {
  return [samples.length];
}

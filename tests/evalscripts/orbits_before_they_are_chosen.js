//VERSION=3
let seen = [];
function setup() {
  return {
    input: [{ bands: ["B04", "dataMask"] }],
    output: { bands: 3, sampleType: "UINT8" },
    mosaicking: "ORBIT",
  };
}
function preProcessScenes(collections) {
  seen = collections.scenes.orbits.map((orbit) => [orbit.__idx, orbit.tiles.length]);
  return collections;
}
function evaluatePixel(samples, scenes) {
  return [seen[1][0], seen[1][1], scenes.orbits[1].tiles.length];
}

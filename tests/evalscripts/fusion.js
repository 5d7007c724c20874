//VERSION=3
function setup() {
  return {
    input: [
      { datasource: "optical", bands: ["B04", "dataMask"], mosaicking: "ORBIT" },
      { datasource: "radar", bands: ["VV"], mosaicking: "ORBIT" },
    ],
    output: { bands: 3, sampleType: "FLOAT32" },
  };
}
function updateOutput(outputs, collections) {
  outputs.default.bands = collections.optical.scenes.length > 0 && collections.radar.scenes.orbits.length > 0 ? 3 : 1;
}
function evaluatePixel(samples, scenes) {
  const { optical, radar } = scenes;
  return [
    optical.length - samples.optical.length,
    radar.orbits.length - samples.radar.length,
    optical[0].date.getUTCFullYear(),
  ];
}

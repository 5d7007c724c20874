//VERSION=3
// Normalized Difference Vegetation Index, (NIR - red) / (NIR + red); -1 to 1, NaN where it is not defined.
// Source: Rouse, Haas, Schell, Deering: Monitoring vegetation systems in the Great Plains with ERTS, NASA SP-351, 1974.
function setup() {
  return {
    input: ["B08", "B04", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const sum = sample.B08 + sample.B04;
  const known = sample.dataMask === 1 && sum !== 0;
  return {
    default: [known ? (sample.B08 - sample.B04) / sum : NaN],
    dataMask: [known ? 1 : 0],
  };
}

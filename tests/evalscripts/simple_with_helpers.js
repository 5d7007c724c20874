/* A title, then helpers: their own returns do not count. */
//VERSION=3 (auto-converted from 1)
function stretch(value, { low, high }) {
  if (value > high) { return 1; }
  return (value - low) / (high - low);
}
const mean = (values) => { return values.reduce((a, b) => a + b, 0) / values.length; };
// B12 and "B11" in comments and texts are no bands.
label = "B11";
var gray = mean([B02, B03, B04].map((value) => stretch(value, { low: 0.0, high: 0.4 })));
return label === "" ? [0] : [gray];

// plotly.js is kept gzipped to keep the file small. Where it cannot be unpacked (QGIS's own viewer), a line of text
// stays in place of each chart, and the numbers are in the tables.
(function () {
  var figures = JSON.parse(document.getElementById("figures").textContent);
  var packed = document.getElementById("plotly").textContent.trim();
  if (!packed || typeof DecompressionStream === "undefined") { return; }
  var binary = atob(packed), bytes = new Uint8Array(binary.length);
  for (var i = 0; i < binary.length; i++) { bytes[i] = binary.charCodeAt(i); }
  var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  new Response(stream).text().then(function (code) {
    var script = document.createElement("script");
    script.textContent = code;
    document.head.appendChild(script);
    Object.keys(figures).forEach(function (id) {
      var place = document.getElementById(id);
      place.textContent = "";
      Plotly.newPlot(place, figures[id].data, figures[id].layout,
        { responsive: true, displaylogo: false, toImageButtonOptions: { format: "svg" } });
    });
    document.body.setAttribute("data-charts", "drawn");
  });
})();

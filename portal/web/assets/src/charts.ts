// Charts over ECharts, trimmed to bars and lines: <div data-chart="bars|lines"> with its data as JSON inside.
import {BarChart, LineChart} from "echarts/charts";
import {AriaComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent} from "echarts/components";
import {init, use} from "echarts/core";
import {SVGRenderer} from "echarts/renderers";
import {element, one} from "./dom";

use([BarChart, LineChart, GridComponent, LegendComponent, TooltipComponent, MarkLineComponent, AriaComponent, SVGRenderer]);

type Series = {name: string; values: Array<number | string | null>; urls?: string[]; dashed?: boolean};
type Data = {unit?: string; labels: string[]; series: Series[]; horizontal?: boolean; stack?: boolean; limit?: {label: string; value: number}};

const LIGHT = ["#4d5fd9", "#2f98a6", "#c79a2e", "#9a6cc4", "#a3acb8", "#c2586b", "#5a8f3e", "#b07243"];
const DARK = ["#7c8cf5", "#4fb3bf", "#c7a24b", "#b58ad6", "#6b7686", "#d9788a", "#80b363", "#cd9468"];

export default function chart(box: HTMLElement): void {
  const data = JSON.parse(one("script", box)?.textContent ?? "{}") as Data;
  const place = box.appendChild(element("div"));
  place.style.cssText = "width:100%;height:100%";
  const drawing = init(place, null, {renderer: "svg"});
  const unit = data.unit ? ` ${data.unit}` : "";
  const numbers = (values: Series["values"]) => values.map((value) => (value === null ? null : Number(value)));
  const sums = data.labels.map((_, i) => data.series.reduce((a, s) => a + Math.round(Number(s.values[i] ?? 0) * 100), 0) / 100);

  const paint = () => {
    const css = getComputedStyle(document.documentElement);
    const colour = (name: string) => css.getPropertyValue(`--sn-${name}`).trim();
    const dark = document.documentElement.dataset.bsTheme === "dark";
    const still = {axisLine: {show: false}, axisTick: {show: false}, axisLabel: {color: colour("ink2"), fontSize: 12}};
    const names = {type: "category" as const, data: data.labels, inverse: Boolean(data.horizontal), ...still};
    const values = data.horizontal ? {type: "value" as const, show: false, max: "dataMax" as const}
      : {type: "value" as const, ...still, splitLine: {lineStyle: {color: colour("line2")}}};
    const narrow = box.clientWidth < 480;
    const last = data.series.length - 1;
    drawing.setOption({
      animation: false, aria: {enabled: true, label: {description: box.getAttribute("aria-label") ?? undefined}},
      color: dark ? DARK : LIGHT, textStyle: {fontFamily: getComputedStyle(document.body).fontFamily},
      grid: {left: 8, right: data.horizontal ? 56 : 8, top: data.series.length > 1 ? (narrow ? 58 : 34) : 8, bottom: 4, containLabel: true},
      legend: {show: data.series.length > 1, top: 0, left: 0, itemWidth: 10, itemHeight: 10, itemGap: 14, textStyle: {color: colour("ink2"), fontSize: 12}},
      tooltip: {trigger: "axis", confine: true, axisPointer: {type: box.dataset.chart === "lines" ? "line" : "shadow"}, backgroundColor: colour("card"), borderColor: colour("line"), textStyle: {color: colour("ink"), fontSize: 12}, valueFormatter: (value: unknown) => (value === null || value === undefined ? "—" : `${String(value)}${unit}`)},
      xAxis: data.horizontal ? values : names, yAxis: data.horizontal ? names : values,
      series: data.series.map((series, k) => ({
        name: series.name, data: numbers(series.values),
        ...(box.dataset.chart === "lines"
          ? {type: "line" as const, symbol: "circle", symbolSize: 5, showSymbol: data.labels.length < 32, lineStyle: {width: 2, type: series.dashed ? "dashed" as const : "solid" as const}}
          : {type: "bar" as const, stack: data.stack ? "all" : undefined, barMaxWidth: 22, itemStyle: {borderColor: colour("card"), borderWidth: 1},
            // sums of many columns would run into each other
            label: data.stack && k === last && (data.horizontal || data.labels.length < 9) ? {show: true, position: data.horizontal ? "right" as const : "top" as const, color: colour("ink"), fontWeight: 600 as const, formatter: (p: {dataIndex: number}) => `${sums[p.dataIndex]}${unit}`} : {show: false}}),
        markLine: data.limit && k === 0 ? {symbol: "none", silent: true, lineStyle: {color: colour("risk-fill")}, label: {formatter: data.limit.label, color: colour("risk")}, data: [data.horizontal ? {xAxis: data.limit.value} : {yAxis: data.limit.value}]} : undefined,
      })),
    }, true);
  };
  paint();
  drawing.on("click", (event) => {
    const url = data.series[event.seriesIndex ?? 0]?.urls?.[event.dataIndex];
    if (url) location.assign(url);
  });
  document.addEventListener("sn:theme", paint);
  new ResizeObserver(() => drawing.resize()).observe(box);
}

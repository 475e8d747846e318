"""Calls the compatibility views through the real ccxt and compares what it parses with /v1.

    pip install -r requirements.txt
    backstop serve --mark-interval-ms 0                                  the venue must stand still
    python ccxt_compat.py --base http://127.0.0.1:8080
    python ccxt_compat.py --base URL --token TOKEN --key ID --secret SECRET          a key that reads every account
    python ccxt_compat.py --base URL --token TOKEN --account alice=ID:SECRET ...     a key for each account

An empty daemon without keys is given the small venue of venue.ndjson first; any other venue will do. What is wanted is read
from /v1, so no figures are written down here. Every ccxt host is pointed at the base URL and other addresses are refused, so
nothing leaves this machine. Exits 0 when everything agrees, 1 with a line for each difference, 2 when nothing could be
compared.
"""

import argparse
import json
import socket
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import ccxt

OPEN_CAP = Decimal(9223372036854775807)
VENUE = Path(__file__).with_name("venue.ndjson")


class Report:
    """Counts what agreed and keeps what did not."""

    def __init__(self):
        self.title, self.agreed, self.total, self.wrong = "", 0, 0, []

    def part(self, title):
        self.close()
        self.title, self.agreed = title, 0

    def close(self):
        if self.title:
            print(f"{self.title}: {self.agreed} values agree")
        self.title = ""

    def same(self, what, got, wanted):
        """Equal as values: 1 and "1.0" are the same, None only None. Floats are compared as ccxt rounds them."""
        if equal(got, wanted):
            self.agreed, self.total = self.agreed + 1, self.total + 1
        else:
            self.fail(f"{what}: ccxt has {got!r}, /v1 has {wanted!r}")

    def true(self, what, holds):
        self.same(what, bool(holds), True)

    def fail(self, line):
        self.wrong.append(f"{self.title}: {line}")
        print(f"DIFFERS  {self.title}: {line}")

    def call(self, what, function, *arguments):
        """The answer, or a line and nothing."""
        try:
            return function(*arguments)
        except Exception as error:  # a parser that stumbles is what this looks for
            self.fail(f"{what} raised {type(error).__name__}: {str(error)[:300]}")
            return None

    def raises(self, what, kind, function, *arguments):
        try:
            found = function(*arguments)
        except Exception as error:
            self.same(f"{what}, exception ({str(error)[:120]})", type(error).__name__, kind.__name__)
        else:
            self.fail(f"{what}: wanted {kind.__name__}, got {str(found)[:200]}")


def equal(got, wanted):
    if isinstance(wanted, (list, tuple)) or got is None or wanted is None or isinstance(wanted, bool):
        return got == wanted
    try:
        got, wanted = Decimal(str(got)), Decimal(str(wanted))
    except ArithmeticError:
        return got == wanted
    # ccxt keeps 8 decimals and floats.
    return abs(got - wanted) <= max(Decimal("0.00000001"), abs(wanted) * Decimal("1e-12"))


class Native:
    """Backstop's own API."""

    def __init__(self, base, token):
        self.base, self.token = base, token

    def read(self, path, missing=None):
        request = urllib.request.Request(self.base + path)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return missing
            raise

    def items(self, path):
        found, cursor = [], ""
        while True:
            page = self.read(path + cursor)
            found += page["items"]
            if not page["next"]:
                return found
            cursor = f"{'&' if '?' in path else '?'}cursor={page['next']}"


def seeded(native):
    """Gives an empty daemon a small venue; one that asks for keys must have been given one already."""
    if native.token or native.items("/v1/markets"):
        return
    request = urllib.request.Request(native.base + "/v1/commands", VENUE.read_bytes())
    request.add_header("Content-Type", "application/x-ndjson")
    with urllib.request.urlopen(request, timeout=60) as answer:
        refused = [line for line in answer.read().decode().splitlines() if "code" in json.loads(line)]
    if refused:
        raise ValueError(f"the venue was refused: {refused[0]}")


class Market:
    """A market as /v1 shows it, and its names outside."""

    def __init__(self, item, names):
        self.item, self.name, self.kind, self.asset = item, item["market"], item["kind"], item["asset"]
        bare = self.name.replace("-", "")
        self.id = bare if [name.replace("-", "") for name in names].count(bare) == 1 else self.name
        self.size, self.tiers = Decimal(item["contract_size"]), item["tiers"]
        self.linear = self.kind == "linear"

    def amount(self, quantity):
        """As Binance counts: the base for linear contracts, contracts for inverse ones."""
        return Decimal(quantity) * (self.size if self.linear else 1)

    def notional(self, quantity, price):
        size = Decimal(quantity) * self.size
        return size * Decimal(price) if self.linear else size / Decimal(price)

    def cap(self, place):
        limit = self.tiers[place]["notional_limit"]
        return OPEN_CAP if limit is None else Decimal(limit)


class World:
    def __init__(self, native):
        self.native = native
        listed = native.items("/v1/markets")
        names = [item["market"] for item in listed]
        self.markets = [Market(item, names) for item in listed]

    def of(self, kind):
        return [market for market in self.markets if market.kind == kind]

    def named(self, name):
        return next(market for market in self.markets if market.name == name)

    def mark(self, market):
        return self.native.read(f"/v1/markets/{market.name}/mark")

    def pools(self, asset):
        fund = self.native.read(f"/v1/fund/{asset}") or {"pools": []}
        return {pool["pool"]: pool for pool in fund["pools"]}

    def account(self, name):
        return self.native.read(f"/v1/accounts/{name}", {"positions": [], "assets": []})


# ccxt, pointed at the base URL.


def client(kind, base, venue, options, key=None, secret=None):
    exchange = getattr(ccxt, kind)({"apiKey": key, "secret": secret, "timeout": 10_000, "enableRateLimit": False})
    exchange.session.trust_env = False
    exchange.options = exchange.deep_extend(exchange.options, options)
    for name, url in exchange.urls["api"].items():
        exchange.urls["api"][name] = f"{base}/compat/{venue}{urlsplit(url).path}"
    return exchange


def binance(settings, kind, who=None):
    types = {"linear": "binanceusdm", "inverse": "binancecoinm", "both": "binance"}
    options = {"fetchMarkets": {"types": ["linear", "inverse"] if kind == "both" else [kind]}}
    return client(types[kind], settings.base, "binance", options, *credentials(settings, who))


def bybit(settings, who=None):
    options = {"fetchMarkets": {"types": ["linear", "inverse"]}}
    return client("bybit", settings.base, "bybit", options, *credentials(settings, who))


def credentials(settings, who):
    if who is None:
        return None, None
    if who in settings.keys:
        return settings.keys[who]
    # Open to this machine: the key may be anything, and names the account.
    return settings.key or who, settings.secret or "-"


def named(settings, who):
    """A key that reads every account says which; one of an account needs no more."""
    return {} if who in settings.keys else {"account": who}


def only_here(base):
    """Refuses to look up or reach any host but the base URL's."""
    allowed, find = urlsplit(base).hostname, socket.getaddrinfo

    def guarded(host, *rest, **more):
        if host != allowed:
            raise OSError(f"refused to reach {host}: only {allowed} is asked")
        return find(host, *rest, **more)

    socket.getaddrinfo = guarded


# What is compared.


def listing(report, world, exchange, markets):
    loaded = report.call("load_markets", exchange.load_markets)
    if loaded is None:
        return {}
    symbols = {}
    for market in markets:
        found = exchange.markets_by_id.get(market.id)
        if not found:
            report.fail(f"{market.name} is not listed as {market.id}")
            continue
        symbols[market.name] = found[0]["symbol"]
        report.same(f"{market.id} listed once", len(found), 1)
        report.same(f"{market.id} settle", found[0]["settle"], market.asset)
        report.same(f"{market.id} linear", found[0]["linear"], market.linear)
        report.same(f"{market.id} price step", found[0]["precision"]["price"], market.item["tick_size"])
    return symbols


def tiers(report, market, found):
    report.same(f"{market.id} tiers", len(found), len(market.tiers))
    for place, (got, tier) in enumerate(zip(found, market.tiers, strict=False)):
        what = f"{market.id} tier {place + 1}"
        report.same(f"{what} number", got["tier"], place + 1)
        report.same(f"{what} floor", got["minNotional"], tier["floor"])
        report.same(f"{what} cap", got["maxNotional"], market.cap(place))
        report.same(f"{what} maintenance", got["maintenanceMarginRate"], tier["maintenance_rate"])
        most = 1 / Decimal(tier["initial_rate"])
        whole = most // 1 if "initialLeverage" in got["info"] else most.quantize(Decimal("0.01"), "ROUND_FLOOR")
        report.same(f"{what} leverage", got["maxLeverage"], whole)
        report.same(f"{what} deduction", got["info"].get("cum", got["info"].get("mmDeduction")) or 0, tier["deduction"])


def premiums(report, world, exchange, kind, symbols):
    rates = report.call("fetch_funding_rates", exchange.fetch_funding_rates) or {}
    prices = report.call("fetch_mark_prices", exchange.fetch_mark_prices) or {}
    for market in world.of(kind):
        symbol, mark = symbols.get(market.name), world.mark(market)
        if symbol is None:
            continue
        funding = mark.get("funding") or {}
        one = report.call(f"fetch_funding_rate {symbol}", exchange.fetch_funding_rate, symbol) or {}
        for what, got in (("fetch_funding_rate", one), ("fetch_funding_rates", rates.get(symbol) or {})):
            report.same(f"{what} {symbol} mark", got.get("markPrice"), mark["mark"])
            report.same(f"{what} {symbol} index", got.get("indexPrice"), mark["index"])
            if mark["time"] is not None:
                report.same(f"{what} {symbol} time", got.get("timestamp"), mark["time"])
            report.same(f"{what} {symbol} rate", got.get("fundingRate"), funding.get("rate"))
            if funding:
                report.same(f"{what} {symbol} next", got.get("fundingTimestamp"), funding["next_time"])
        ticker = report.call(f"fetch_mark_price {symbol}", exchange.fetch_mark_price, symbol) or {}
        for what, got in (("fetch_mark_price", ticker), ("fetch_mark_prices", prices.get(symbol) or {})):
            report.same(f"{what} {symbol}", got.get("markPrice"), mark["mark"])
            report.same(f"{what} {symbol} index", got.get("indexPrice"), mark["index"])


def binance_fund(report, world, exchange):
    wanted = {}
    for asset in {market.asset for market in world.markets}:
        for name, pool in world.pools(asset).items():
            members = sorted(m.id for m in world.markets if m.asset == asset and m.item["pool"]["name"] == name)
            wanted[(asset, tuple(members))] = pool["balance"]
    groups = report.call("fapiPublicGetInsuranceBalance", exchange.fapiPublicGetInsuranceBalance) or []
    found = {(a["asset"], tuple(sorted(g["symbols"]))): a["marginBalance"] for g in groups for a in g["assets"]}
    report.same("insuranceBalance, pools", sorted(found), sorted(wanted))
    for place, balance in wanted.items():
        report.same(f"insuranceBalance {place}", found.get(place), balance)
    for market in world.of("linear"):
        arguments = {"symbol": market.id}
        one = report.call(f"insuranceBalance {market.id}", exchange.fapiPublicGetInsuranceBalance, arguments)
        pool = world.pools(market.asset).get(market.item["pool"]["name"])
        if one and pool:
            report.true(f"insuranceBalance {market.id} names it", market.id in one["symbols"])
            report.same(f"insuranceBalance {market.id}", one["assets"][0]["marginBalance"], pool["balance"])
            report.same(f"insuranceBalance {market.id} asset", one["assets"][0]["asset"], market.asset)


def binance_risk(report, world, exchange, symbols):
    every = report.call("fapiPublicGetSymbolAdlRisk", exchange.fapiPublicGetSymbolAdlRisk) or []
    report.same("symbolAdlRisk, symbols", sorted(r["symbol"] for r in every), sorted(m.id for m in world.of("linear")))
    risks = {row["symbol"]: row["adlRisk"] for row in every}
    levels = {warning["market"]: warning["level"] for warning in world.native.items("/v1/warnings")}
    for market in world.of("linear"):
        risk, symbol = risks.get(market.id), symbols[market.name]
        report.true(f"symbolAdlRisk {market.id} is low, medium or high ({risk})", risk in ("low", "medium", "high"))
        rank = report.call(f"fetch_adl_rank {symbol}", exchange.fetch_adl_rank, symbol) or {}
        report.same(f"fetch_adl_rank {symbol}", (rank.get("symbol"), rank.get("rating")), (symbol, risk))
        report.same(f"symbolAdlRisk {market.id}", risk, levels.get(market.name, "low"))


LEGS = {"net": "BOTH", "long": "LONG", "short": "SHORT"}


def open_positions(world, who, kind):
    shown = [p for p in world.account(who)["positions"] if Decimal(p["quantity"]) != 0]
    return [(world.named(p["market"]), p) for p in shown if world.named(p["market"]).kind == kind]


def binance_quantiles(report, world, exchange, kind, who, more, symbols):
    positions = open_positions(world, who, kind)
    raw = getattr(exchange, f"{'fapi' if kind == 'linear' else 'dapi'}PrivateGetAdlQuantile")
    rows = report.call(f"adlQuantile of {who}", raw, more)
    if rows is None:
        return
    report.same(
        f"adlQuantile of {who}, symbols", sorted(r["symbol"] for r in rows), sorted({m.id for m, _ in positions})
    )
    shown = {row["symbol"]: row["adlQuantile"] for row in rows}
    # ccxt looks at BOTH first, and so sees nothing of isolated legs in hedge mode.
    ranks = report.call(f"fetch_positions_adl_rank of {who}", exchange.fetch_positions_adl_rank, None, more) or []
    ranks = {rank["symbol"]: rank["rank"] for rank in ranks}
    for market, position in positions:
        if position.get("adl_quantile") is None:
            continue
        wanted, leg = position["adl_quantile"] - 1, LEGS[position["leg"]]
        report.same(f"adlQuantile of {who} {market.id} {leg}", shown.get(market.id, {}).get(leg), wanted)
        report.same(
            f"adlQuantile of {who} {market.id} HEDGE", "HEDGE" in shown.get(market.id, {}), hedged_cross(position)
        )
        legs = [p["adl_quantile"] - 1 for m, p in positions if m is market and p.get("adl_quantile")]
        if leg == "BOTH" or hedged_cross(position):
            report.same(f"fetch_positions_adl_rank of {who} {market.id}", ranks.get(symbols[market.name]), max(legs))
            one = report.call(
                f"fetch_position_adl_rank of {who}", exchange.fetch_position_adl_rank, symbols[market.name], more
            )
            report.same(f"fetch_position_adl_rank of {who} {market.id}", one and one["rank"], max(legs))


def hedged_cross(position):
    return position["leg"] != "net" and position["mode"] == "cross"


def binance_positions(report, world, exchange, kind, who, more, symbols):
    positions = open_positions(world, who, kind)
    ways = [
        ("fetch_positions_risk", exchange.fetch_positions_risk, {}),
        ("fetch_positions", exchange.fetch_positions, {}),
    ]
    if kind == "linear":
        ways.append(("fetch_positions_risk v2", exchange.fetch_positions_risk, {"useV2": True}))
    for what, function, form in ways:
        found = report.call(f"{what} of {who}", function, None, more | form)
        if found is None:
            continue
        report.same(f"{what} of {who}, positions", len(found), len(positions))
        for market, position in positions:
            label = f"{what} of {who} {market.id} {position['leg']}"
            side = "long" if Decimal(position["quantity"]) > 0 else "short"
            matching = [p for p in found if p["symbol"] == symbols[market.name] and p["side"] == side]
            if len(matching) != 1:
                report.fail(f"{label}: {len(matching)} found")
                continue
            compare_position(report, label, market, position, matching[0], what.endswith("v2"))


def compare_position(report, label, market, position, got, old):
    info, notional = got["info"], market.notional(position["quantity"], position["mark"])
    report.same(f"{label} contracts", got["contracts"], abs(market.amount(position["quantity"])))
    report.same(f"{label} amount", info["positionAmt"], market.amount(position["quantity"]))
    report.same(f"{label} entry", got["entryPrice"], position["entry_price"])
    report.same(f"{label} mark", got["markPrice"], position["mark"])
    report.same(f"{label} pnl", got["unrealizedPnl"], position["unrealised_pnl"])
    report.same(f"{label} notional", got["notional"], abs(notional))
    report.same(f"{label} liquidation price", got["liquidationPrice"], position["liquidation_price"])
    report.same(f"{label} margin mode", got["marginMode"], position["mode"])
    report.same(f"{label} hedged", got["hedged"], position["leg"] != "net")
    report.same(f"{label} side", info["positionSide"], LEGS[position["leg"]])
    if position["isolated_margin"] is not None:
        report.same(f"{label} isolated wallet", info["isolatedWallet"], position["isolated_margin"])
        margin = Decimal(position["isolated_margin"]) + Decimal(position["unrealised_pnl"])
        report.same(f"{label} isolated margin", info["isolatedMargin"], margin)
    if not old and market.linear:
        report.same(f"{label} maintenance", info["maintMargin"], position["maintenance_margin"])
        report.same(f"{label} asset", info["marginAsset"], market.asset)
        if position.get("adl_quantile") is not None:
            report.same(f"{label} adl", info["adl"], position["adl_quantile"] - 1)
        if position.get("initial_margin") is not None:
            report.same(f"{label} initial", got["initialMargin"], position["initial_margin"])
    # ccxt computes maintenance itself: the rate of the bracket it has loaded, without the deduction.
    rate = next(t for p, t in enumerate(market.tiers) if abs(notional) <= market.cap(p) or t is market.tiers[-1])
    if market.linear:
        computed = abs(notional) * Decimal(rate["maintenance_rate"])
        report.same(f"{label} maintenance by rate", got["maintenanceMargin"], computed)


def binance_forced(report, world, exchange, kind, who, more, symbols):
    native = world.native
    orders = {}
    for liquidation in native.items(f"/v1/liquidations?account={who}"):
        for fill in liquidation["settlements"]:
            if world.named(fill["market"]).kind == kind:
                orders.setdefault(fill["order"], []).append(fill)
    cuts = [e for e in native.items(f"/v1/adl?account={who}") if e["type"] == "deleveraged"]
    cuts = [cut for cut in cuts if world.named(cut["market"]).kind == kind]
    for market in world.of(kind):
        mine = [fills for fills in orders.values() if fills[0]["market"] == market.name]
        what = f"fetch_my_liquidations of {who} {market.id}"
        found = report.call(what, exchange.fetch_my_liquidations, symbols[market.name], None, None, more)
        if found is None:
            continue
        report.same(f"{what}, orders", len(found), len(mine))
        for fills in mine:
            order = [row for row in found if row["info"]["clientOrderId"] == f"autoclose-{fills[0]['order']}"]
            report.same(f"{what} order {fills[0]['order']} found", len(order), 1)
            for row in order:
                quantity = sum(Decimal(fill["quantity"]) for fill in fills)
                report.same(f"{what} contracts", row["contracts"], market.amount(quantity))
                value = sum(abs(market.notional(f["quantity"], f["price"])) for f in fills)
                report.same(f"{what} value", row["quoteValue" if market.linear else "baseValue"], value)
                size = quantity * market.size
                report.same(f"{what} price", row["price"], value / size if market.linear else size / value)
                report.same(f"{what} time", row["timestamp"], fills[-1]["time"])
                report.same(f"{what} side", row["side"], fills[0]["side"])
    raw = getattr(exchange, f"{'fapi' if kind == 'linear' else 'dapi'}PrivateGetForceOrders")
    deleveraged = report.call(f"forceOrders ADL of {who}", raw, {"autoCloseType": "ADL"} | more)
    if deleveraged is not None:
        report.same(f"forceOrders ADL of {who}, orders", len(deleveraged), len(cuts))
        for row, cut in zip(deleveraged, sorted(cuts, key=lambda cut: cut["seq"]), strict=False):
            market = world.named(cut["market"])
            report.same(f"ADL of {who} symbol", row["symbol"], market.id)
            report.same(f"ADL of {who} quantity", row["executedQty"], market.amount(cut["quantity"]))
            report.same(f"ADL of {who} price", row["avgPrice"], cut["price"])
            report.same(f"ADL of {who} side", row["side"], "BUY" if cut["side"] == "sell" else "SELL")
            report.same(f"ADL of {who} client id", row["clientOrderId"], "adl_autoclose")
    both = report.call(f"forceOrders of {who}", raw, more)
    if both is not None:
        report.same(f"forceOrders of {who}, all", len(both), len(orders) + len(cuts))
        report.same(f"forceOrders of {who}, ids differ", len({row["orderId"] for row in both}), len(both))
        last = report.call(f"forceOrders of {who}, one", raw, {"limit": 1} | more) or []
        report.same(f"forceOrders of {who}, the newest", last, both[-1:])


def binance_checks(report, world, settings, kind):
    name = {"linear": "binanceusdm", "inverse": "binancecoinm"}[kind]
    report.part(f"{name} markets")
    public = binance(settings, kind)
    symbols = listing(report, world, public, world.of(kind))
    if not symbols:
        return
    report.true("fetch_time", (report.call("fetch_time", public.fetch_time) or 0) > 0)
    report.part(f"{name} premiumIndex")
    premiums(report, world, public, kind, symbols)
    if kind == "linear":
        report.part(f"{name} insuranceBalance")
        binance_fund(report, world, public)
        report.part(f"{name} symbolAdlRisk")
        binance_risk(report, world, public, symbols)
    report.part(f"{name} leverageBracket")
    keyed = binance(settings, kind, settings.accounts[0])
    keyed.load_markets()
    more = named(settings, settings.accounts[0])
    found = report.call("fetch_leverage_tiers", keyed.fetch_leverage_tiers, None, more) or {}
    report.same("fetch_leverage_tiers, symbols", sorted(found), sorted(symbols.values()))
    for market in world.of(kind):
        tiers(report, market, found.get(symbols[market.name], []))
        one = report.call("fetch_market_leverage_tiers", keyed.fetch_market_leverage_tiers, symbols[market.name])
        tiers(report, market, one or [])
    for who in settings.accounts:
        exchange, more = binance(settings, kind, who), named(settings, who)
        exchange.load_markets()
        report.part(f"{name} {who}")
        binance_quantiles(report, world, exchange, kind, who, more, symbols)
        binance_positions(report, world, exchange, kind, who, more, symbols)
        binance_forced(report, world, exchange, kind, who, more, symbols)
    report.part(f"{name} refusals")
    raw = public.fapiPublicGetPremiumIndex if kind == "linear" else public.dapiPublicGetPremiumIndex
    report.raises("an unknown symbol", ccxt.BadSymbol, raw, {"symbol": "NOSUCHTHING"})
    raw = public.fapiPublicGetOpenInterest if kind == "linear" else public.dapiPublicGetOpenInterest
    report.raises("a path that is not served", ccxt.ExchangeError, raw, {"symbol": world.of(kind)[0].id})
    if settings.keys or settings.key:
        stranger = client(name, settings.base, "binance", {}, "nobody", "nothing")
        raw = stranger.fapiPrivateGetAdlQuantile if kind == "linear" else stranger.dapiPrivateGetAdlQuantile
        report.raises("an unknown key", ccxt.AuthenticationError, raw)
        who = settings.accounts[0]
        forger = client(name, settings.base, "binance", {}, credentials(settings, who)[0], "not the secret")
        raw = forger.fapiPrivateGetAdlQuantile if kind == "linear" else forger.dapiPrivateGetAdlQuantile
        report.raises("a wrong signature", ccxt.AuthenticationError, raw, named(settings, who))


def binance_both(report, world, settings):
    """The class that holds every kind of contract finds all markets, and the same figures."""
    report.part("binance markets")
    exchange = binance(settings, "both")
    symbols = listing(report, world, exchange, world.markets)
    for market in world.markets:
        if market.name in symbols:
            rate = report.call("fetch_funding_rate", exchange.fetch_funding_rate, symbols[market.name]) or {}
            report.same(f"{market.id} mark", rate.get("markPrice"), world.mark(market)["mark"])


def as_they_come(report, world, settings):
    """Clients that only had their hosts changed, without and with a key: they look for currencies and spot first."""
    report.part("clients as they come")
    wanted = {"binanceusdm": world.of("linear"), "binancecoinm": world.of("inverse")}
    for kind, venue in (
        ("binanceusdm", "binance"),
        ("binancecoinm", "binance"),
        ("binance", "binance"),
        ("bybit", "bybit"),
    ):
        for who in (None, settings.accounts[0]):
            exchange = client(kind, settings.base, venue, {}, *credentials(settings, who))
            what = f"{kind} {'with' if who else 'without'} a key"
            if report.call(what, exchange.load_markets) is not None:
                found = sorted(market["id"] for market in exchange.markets.values())
                report.same(what, found, sorted(m.id for m in wanted.get(kind, world.markets)))


def bybit_checks(report, world, settings):
    report.part("bybit markets")
    exchange = bybit(settings)
    symbols = listing(report, world, exchange, world.markets)
    if not symbols:
        return
    report.true("fetch_time", (report.call("fetch_time", exchange.fetch_time) or 0) > 0)

    report.part("bybit insurance")
    answer = report.call("publicGetV5MarketInsurance", exchange.publicGetV5MarketInsurance) or {"result": {"list": []}}
    found = {
        (row["coin"], tuple(sorted(filter(None, row["symbols"].split(","))))): row for row in answer["result"]["list"]
    }
    for asset in sorted({market.asset for market in world.markets}):
        for name, pool in world.pools(asset).items():
            members = tuple(sorted(m.id for m in world.markets if m.asset == asset and m.item["pool"]["name"] == name))
            row = found.pop((asset, members), None)
            report.same(f"insurance {asset} {name}", row and row["balance"], pool["balance"])
        arguments = {"coin": asset}
        one = report.call(f"insurance {asset}", exchange.publicGetV5MarketInsurance, arguments) or {
            "result": {"list": []}
        }
        report.same(f"insurance {asset} alone", {row["coin"] for row in one["result"]["list"]} - {asset}, set())
        report.same(f"insurance {asset}, pools", len(one["result"]["list"]), len(world.pools(asset)))
    report.same("insurance, pools beyond those of /v1", sorted(found), [])

    report.part("bybit adlAlert")
    answer = report.call("publicGetV5MarketAdlAlert", exchange.publicGetV5MarketAdlAlert) or {"result": {"list": []}}
    rows = {row["symbol"]: row for row in answer["result"]["list"]}
    report.same("adlAlert, symbols", sorted(rows), sorted(market.id for market in world.markets))
    for market in world.markets:
        arguments = {"symbol": market.id}
        one = report.call(f"adlAlert {market.id}", exchange.publicGetV5MarketAdlAlert, arguments)
        report.same(f"adlAlert {market.id} alone", one and one["result"]["list"], [rows.get(market.id)])
        row, rule = rows.get(market.id, {}), market.item["adl"]["drawdown"]
        pool = world.pools(market.asset).get(market.item["pool"]["name"], {"balance": "0", "peak": "0"})
        report.same(f"adlAlert {market.id} coin", row.get("coin"), market.asset)
        report.same(f"adlAlert {market.id} balance", row.get("balance"), pool["balance"])
        if rule:
            report.same(f"adlAlert {market.id} start", row.get("insurancePnlRatio"), -Decimal(rule["start"]))
            report.same(f"adlAlert {market.id} stop", row.get("adlStopRatio"), -Decimal(rule["stop"]))
        peak = Decimal(pool["peak"])
        fall = round((Decimal(pool["balance"]) - peak) / peak, 6) if peak else 0
        report.same(f"adlAlert {market.id} fall", row.get("pnlRatio"), fall)

    report.part("bybit risk-limit")
    for kind in ("linear", "inverse"):
        markets = world.of(kind)
        if not markets:
            continue  # ccxt itself fails on an empty list here
        arguments = {"category": kind}
        raw = report.call(f"publicGetV5MarketRiskLimit {kind}", exchange.publicGetV5MarketRiskLimit, arguments)
        rows = raw["result"]["list"] if raw else []
        report.same(f"risk-limit {kind}, rows", len(rows), sum(len(market.tiers) for market in markets))
        every = report.call("fetch_leverage_tiers", exchange.fetch_leverage_tiers, None, {"subType": kind}) or {}
        report.same(f"fetch_leverage_tiers {kind}", sorted(every), sorted(symbols[m.name] for m in markets))
        for market in markets:
            symbol = symbols[market.name]
            tiers(report, market, every.get(symbol, []))
            one = report.call(f"fetch_leverage_tiers {symbol}", exchange.fetch_leverage_tiers, [symbol]) or {}
            tiers(report, market, one.get(symbol, []))
            for function in (exchange.fetch_market_leverage_tiers, exchange.fetch_derivatives_market_leverage_tiers):
                tiers(report, market, report.call(f"{function.__name__} {symbol}", function, symbol) or [])

    report.part("bybit refusals")
    arguments = {"category": "linear", "symbol": "NOSUCHTHING"}
    report.raises("an unknown symbol", ccxt.BadRequest, exchange.publicGetV5MarketRiskLimit, arguments)
    report.raises("no category", ccxt.BadRequest, exchange.publicGetV5MarketRiskLimit)
    report.raises("a path that is not served", ccxt.BadRequest, exchange.publicGetV5MarketDeliveryPrice)

    bybit_beyond(report, world, settings, symbols)


def bybit_beyond(report, world, settings, symbols):
    """Tickers and positions."""
    report.part("bybit tickers and positions")
    exchange = bybit(settings)
    exchange.load_markets()
    for market in world.markets:
        arguments = (symbols[market.name], {"subType": market.kind})
        rate = report.call("fetch_funding_rate", exchange.fetch_funding_rate, *arguments) or {}
        mark = world.mark(market)
        report.same(f"fetch_funding_rate {market.id} mark", rate.get("markPrice"), mark["mark"])
        report.same(f"fetch_funding_rate {market.id} index", rate.get("indexPrice"), mark["index"])
    for who in settings.accounts:
        exchange, more = bybit(settings, who), named(settings, who)
        exchange.load_markets()
        for kind in ("linear", "inverse"):
            for market, position in open_positions(world, who, kind):
                symbol, label = symbols[market.name], f"bybit position of {who} {market.id} {position['leg']}"
                side = "long" if Decimal(position["quantity"]) > 0 else "short"
                found = report.call(label, exchange.fetch_positions, [symbol], more) or []
                found = [row for row in found if row["side"] == side]
                report.same(f"{label} found", len(found), 1)
                for got in found:
                    report.same(f"{label} size", got["contracts"], abs(Decimal(position["quantity"])) * market.size)
                    report.same(f"{label} entry", got["entryPrice"], position["entry_price"])
                    report.same(f"{label} mark", got["markPrice"], position["mark"])
                    pnl = position["unrealised_pnl"]
                    report.same(f"{label} pnl", got["unrealizedPnl"], pnl if Decimal(pnl) else None)
                    report.same(f"{label} liquidation price", got["liquidationPrice"], position["liquidation_price"])
                    report.same(f"{label} maintenance", got["maintenanceMargin"], position["maintenance_margin"])
                ranks = report.call(label, exchange.fetch_positions_adl_rank, [symbol], more) or []
                wanted = sorted(p.get("adl_quantile") or 0 for m, p in open_positions(world, who, kind) if m is market)
                report.same(f"{label} adl", sorted(rank["rank"] for rank in ranks), wanted)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--base", required=True, help="where the daemon listens, without a path")
    options.add_argument("--key", help="a key that may read every account")
    options.add_argument("--secret")
    options.add_argument("--token", help="a bearer token for /v1, where it asks for one")
    options.add_argument("--account", action="append", default=[], metavar="NAME[=KEY:SECRET]")
    settings = options.parse_args()
    settings.base = settings.base.rstrip("/")
    given = settings.account or ["alice", "bob", "carol"]
    settings.accounts, settings.keys = [entry.partition("=")[0] for entry in given], {}
    for entry in given:
        name, _, key = entry.partition("=")
        if key:
            settings.keys[name] = key.partition(":")[::2]
    only_here(settings.base)
    try:
        native = Native(settings.base, settings.token)
        seeded(native)
        world = World(native)
    except (OSError, KeyError, ValueError) as error:
        print(f"nothing to compare with at {settings.base}/v1: {error}", file=sys.stderr)
        return 2
    if not world.markets:
        print(f"{settings.base} lists no market", file=sys.stderr)
        return 2
    report = Report()
    print(f"ccxt {ccxt.__version__} against {settings.base}: {len(world.markets)} markets")
    for kind in ("linear", "inverse"):
        if world.of(kind):
            binance_checks(report, world, settings, kind)
    binance_both(report, world, settings)
    as_they_come(report, world, settings)
    bybit_checks(report, world, settings)
    report.close()
    print(f"{report.total} values agree, {len(report.wrong)} differ")
    for line in report.wrong:
        print(f"DIFFERS  {line}", file=sys.stderr)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

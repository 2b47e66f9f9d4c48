. /tmp/lab/env.sh; cd /tmp/lab
python tt3.py s/steam/lab-1 15 "dict(ep=12,temperature=.1)" "dict(ep=24,temperature=.1)" "dict(ep=48,temperature=.1)" > q10_steam.log 2>&1
python tt3.py s/ft/lab-1 15 "dict(ep=40,temperature=.1)" "dict(ep=80,temperature=.1)" "dict(ep=160,temperature=.1)" "dict(ep=32,temperature=.2)" > q10_ft.log 2>&1

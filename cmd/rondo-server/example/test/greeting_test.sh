[ "$(GREETING=Servus ./greet.sh Ada)" = "Servus, Ada!" ]
